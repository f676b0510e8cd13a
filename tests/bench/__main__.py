"""What does `make bench` measure?"""

import sys

from tests.bench.speed import main

sys.exit(main())
