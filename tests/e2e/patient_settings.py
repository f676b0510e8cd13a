"""What does the stack run on that tests share, which ask what is answered and not how soon?"""

from cacheai.settings import *  # noqa: F403 (settings are read from one module)
from cacheai.settings import DATABASES, INSTALLED_APPS
from tests.patience import PATIENCE_SECONDS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.patience.Patience"]
if pool := DATABASES["default"]["OPTIONS"].get("pool"):  # web's alone
    pool["timeout"] = PATIENCE_SECONDS
