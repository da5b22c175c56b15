"""Levels as arrays, as they are measured."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def levels(windows: Iterable[int]) -> NDArray[np.int32]:
    """So loud windows, on the 16 bit scale."""
    return np.array(list(windows), dtype=np.int32)
