"""Functions that become machine code."""

from collections.abc import Callable

from numba import njit


def compiled(function: Callable) -> Callable:
    """Compile a function when it is first called, and keep the result on disk.

    Where no folder can be written, neither beside the file nor in the user's cache, every process
    compiles by itself. Changing one file does not recompile the others: compiled
    functions call only those of their own file.

    Args:
        function: of numbers and arrays; division by 0 gives infinity or NaN.
    """
    try:
        return njit(cache=True, error_model="numpy")(function)
    except RuntimeError:
        return njit(error_model="numpy")(function)
