"""Keeping the standard error of a command to its own lines."""

import ctypes
import warnings


def quiet_decoders() -> None:
    """Silence Pillow's warnings and libtiff's lines in this process: what makes an image unusable becomes its row.

    libtiff writes to the file descriptor, from whichever thread decodes, unless the library it lies in is told not to;
    that is found through Pillow's own module, so that no other libtiff of the process is touched.
    """
    from PIL import Image

    warnings.filterwarnings("ignore", module="PIL")
    library = ctypes.CDLL(Image.core.__file__)
    for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
        if set_handler := getattr(library, name, None):  # a Pillow may lack libtiff, or hide it
            set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
            set_handler(None)
