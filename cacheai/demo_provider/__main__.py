"""How is the demo provider started on its own?"""

import argparse
import signal
import sys
import threading

from cacheai.demo_provider import DemoProvider


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m cacheai.demo_provider", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8199, help="0 takes a free one")
    chosen = parser.parse_args()

    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    try:
        demo = DemoProvider(host=chosen.host, port=chosen.port)
    except OSError as error:
        print(f"demo provider: cannot listen on {chosen.host}:{chosen.port}: {error.strerror}", file=sys.stderr)
        return 1
    with demo:
        print(f"demo provider on {demo.base_url}", flush=True)
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
