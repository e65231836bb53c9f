"""The protocols by their word on the command line."""

from jreid.evaluation.protocols.custom import CustomProtocol
from jreid.evaluation.protocols.llcm import LLCMProtocol
from jreid.evaluation.protocols.regdb import RegDBProtocol
from jreid.evaluation.protocols.sysu_mm01 import SysuProtocol

PROTOCOLS = {
    protocol.key: protocol
    for protocol in (SysuProtocol, RegDBProtocol, LLCMProtocol, CustomProtocol)
}
