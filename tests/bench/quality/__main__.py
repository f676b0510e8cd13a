"""What does `make quality` measure?"""

import sys

from tests.bench.quality.measure import main

sys.exit(main())
