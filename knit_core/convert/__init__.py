"""Specifications from the descriptions of other launchers: skein, YARN's service framework, Slider, kitten, DistributedShell, TonY.

`convert_files` reads files; `convert` takes their texts, and only runs a process for kitten, whose files are programs in Lua.
What has no equivalent is in `Conversion.lost`, each with its line; a
description is refused (SpecError, with all reasons and lines) where the program would not be the same.
"""

from knit_core.convert.draft import Conversion, Loss, Source
from knit_core.convert.files import ConversionWarning, convert_files, read_path, rebased, specification
from knit_core.convert.registry import KINDS, convert

__all__ = [
    "KINDS",
    "Conversion",
    "ConversionWarning",
    "Loss",
    "Source",
    "convert",
    "convert_files",
    "read_path",
    "rebased",
    "specification",
]
