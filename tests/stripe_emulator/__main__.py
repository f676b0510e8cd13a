"""How is the emulator started beside the stack?"""

import argparse
import signal
import threading
from pathlib import Path

from .server import Server
from .world import World


def main() -> None:
    parser = argparse.ArgumentParser(description="Stripe's API on loopback, emulated: no money.")
    parser.add_argument("--port", type=int, default=12111)
    parser.add_argument("--state", type=Path, help="a file that keeps everything between runs")
    parser.add_argument("--webhook-secret", help="of every endpoint, where its receiver must know it beforehand")
    arguments = parser.parse_args()

    world = World(state_path=arguments.state)
    world.load()
    world.controls.webhook_secret = arguments.webhook_secret or world.controls.webhook_secret
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with Server(world, port=arguments.port) as server:
        print(f"Stripe, emulated, no money: {server.url}", flush=True)
        stopped.wait()


if __name__ == "__main__":
    main()
