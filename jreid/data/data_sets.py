"""The data sets that can be read, by the key that names them in results and options."""

from typing import Any

from jreid.data.folder import Folder
from jreid.data.llcm import LLCM
from jreid.data.regdb import RegDB
from jreid.data.sysu_mm01 import SysuMM01

DATA_SETS: dict[str, Any] = {part.key: part for part in (SysuMM01, RegDB, LLCM, Folder)}
