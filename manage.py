#!/usr/bin/env python
"""Django's command line for the CacheAI server."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cacheai.settings")
    from django.core.management import execute_from_command_line

    from cacheai.embedded import CannotEmbed
    from cacheai.env import BadSetting

    try:
        execute_from_command_line(sys.argv)
    except (BadSetting, CannotEmbed) as reason:  # raised while settings are read: nothing else can say it plainly
        sys.exit(str(reason))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
