"""NumPy, loaded when it is first asked for something.

Processes that only say which function is to read a recording import this package too, and need none of it;
the one in which recordings are read has it in memory before a call comes (zygote.py).
"""

from __future__ import annotations

import os
import sys
from importlib.util import LazyLoader, find_spec, module_from_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.signedinteger[Any]]
    Flags = NDArray[np.bool_]
    Floats = NDArray[np.float64]
else:

    def _late(name: str) -> ModuleType:
        if name in sys.modules:
            return sys.modules[name]
        spec = find_spec(name)
        if spec is None or spec.loader is None:
            raise ModuleNotFoundError(name)
        spec.loader = LazyLoader(spec.loader)
        module = sys.modules[name] = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    # NumPy's own threads would be begun to wait: its matrices are small here, and no thread is forked
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    np = _late("numpy")
    Ints = Flags = Floats = Any


def load() -> None:
    """Has all of it ready that recordings are read with."""
    np.fft.rfft(np.zeros(2))  # which NumPy itself loads late


__all__ = ["Flags", "Floats", "Ints", "load", "np"]
