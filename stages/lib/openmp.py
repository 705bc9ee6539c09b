"""Set how long OpenMP's threads wait. To be imported before torch, which reads it only once.

By default, a thread of GNU's OpenMP that has no work looks for some for about 20 ms before it
sleeps. Of two trainings on the same cores, each then keeps the other from its core at the end of
every operator. 10,000 rounds are about 1 ms: long enough for a training that is alone.
"""

import os

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
