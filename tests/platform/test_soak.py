"""A minute of mixed load with faults; `./run bench soak` does ten."""

import random

from soak import soak


# Functions that work, fail, die, hang, fill /tmp or their memory, and clients that go away: nothing of them is kept.
def test_nothing_grows_under_a_mixed_load_with_faults(hello):
    _, _, calls, on_purpose = soak(hello, seconds=24, seed=random.randrange(1 << 30), pauses=3)
    assert calls > 100 and on_purpose > 20
