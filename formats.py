"""Which image formats are read, and how files of other formats are told apart from damage."""

from pathlib import Path

FORMATS = tuple("JPEG PNG GIF BMP TIFF WEBP AVIF JPEG2000 ICO PPM SGI PCX DIB TGA".split())
"""Pillow's plain raster formats: none starts another program or follows a reference. They are tried in this order, the
ones with weak signatures last: almost anything passes for a TGA."""
WEAKLY_SIGNED = frozenset("PPM SGI PCX DIB TGA".split())
"""The formats whose first bytes other files may have by chance."""

EXTENSIONS = frozenset(
    ".jpg .jpeg .jpe .jfif .mpo .png .apng .gif .bmp .dib .tif .tiff .webp .avif .jp2 .j2k .ppm .pgm .pbm .pnm "
    ".tga .pcx .ico .sgi .rgb".split()
)

MAP_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".pgm")
"""What files with maps and masks end in, the usual ones first."""

_FOREIGN = (
    ("PSD", b"8BPS"),
    ("DDS", b"DDS "),
    ("QOI", b"qoif"),
    ("ICNS", b"icns"),
    ("JPEG XL", b"\xff\x0a"),
    ("JPEG XL", b"\0\0\0\x0cJXL \r\n\x87\n"),
    ("JPEG XR", b"II\xbc"),
    ("PDF", b"%PDF"),
    ("EPS", b"%!PS"),
    ("EPS", b"\xc5\xd0\xd3\xc6"),
    ("OpenEXR", b"v/1\x01"),
    ("Radiance HDR", b"#?RADIANCE"),
    ("FITS", b"SIMPLE  ="),
    *(("CUR", bytes((0, 0, 2, 0, count, 0))) for count in range(1, 33)),  # a TGA has a zero there
    ("WMF", b"\xd7\xcd\xc6\x9a"),
    ("WMF", b"\x01\0\t\0"),
    ("EMF", b"\x01\0\0\0l\0\0\0"),
    ("XCF", b"gimp xcf"),
    ("DjVu", b"AT&TFORM"),
    ("BPG", b"BPG\xfb"),
    ("FLIF", b"FLIF"),
    ("PFM in colour", b"PF\n"),
    ("PAM", b"P7\n"),
    ("Sun raster", b"\x59\xa6\x6a\x95"),
    ("BLP", b"BLP1"),
    ("BLP", b"BLP2"),
    ("Matroska", b"\x1aE\xdf\xa3"),
    ("HDF5", b"\x89HDF\r\n\x1a\n"),
    ("MATLAB", b"MATLAB 5.0"),
    ("NumPy", b"\x93NUMPY"),
    ("ZIP", b"PK\x03\x04"),
    ("gzip", b"\x1f\x8b\x08"),
)
_HEAD = 1024


def foreign_format(data: bytes) -> str | None:
    """Return the name of the format that a file is certainly of and that is not read, None for any other file."""
    if data[4:8] == b"ftyp":
        return _media_format(data)
    if data[:1] in (b"<", b"\xef") and b"<svg" in data[:_HEAD]:
        return "SVG"
    return next((name for name, signature in _FOREIGN if data.startswith(signature)), None)


def _media_format(data: bytes) -> str | None:
    """Return the format of an ISO media file by its brands (ISO/IEC 14496-12, section 4.3), None for AVIF."""
    end = min(int.from_bytes(data[:4]), _HEAD)
    brands = {data[place : place + 4] for place in (8, *range(16, end, 4))}
    if brands & {b"avif", b"avis"}:
        return None
    return "HEIC" if brands & {b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"} else "MP4"


def image_files(folder: Path) -> list[Path]:
    """Return the files of a folder that are images by their suffix, sorted."""
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in EXTENSIONS)
