"""Devices and layers: who speaks in the fabric, with tokens and clearances, both ways.

Names are labels of a registry. Nothing here controls anything outside this software.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec

from dsmil.errors import DsmilError

LAST_DEVICE: Final = 103
FIRST_LAYER: Final = 2
LAST_LAYER: Final = 9
TOKEN_START: Final = 0x8000
TOKENS_PER_DEVICE: Final = 3


class UnknownDevice(DsmilError, LookupError):
    """No such device, layer, token or clearance."""


class TokenOffset(IntEnum):
    """What a device's three tokens are for."""

    STATUS = 0
    CONFIG = 1
    DATA = 2


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One operational layer."""

    number: int
    name: str
    first_device: int
    last_device: int
    #: Budget, tera-operations per second.
    tops: float
    #: Budget, gigabytes.
    memory_gb: float

    @property
    def clearance(self) -> int:
        """Byte 0x0L four times."""
        return clearance(self.number)


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the registry."""

    device_id: int
    name: str
    #: Operational layer, or 0 for a device that belongs to none.
    layer: int

    @property
    def token_base(self) -> int:
        """Token of offset STATUS."""
        return token_id(self.device_id)


def _layer(number: int, name: str, devices: tuple[int, int], tops: float, memory_gb: float) -> Layer:
    first, last = devices
    return Layer(number=number, name=name, first_device=first, last_device=last, tops=tops, memory_gb=memory_gb)


LAYERS: Final[dict[int, Layer]] = {
    layer.number: layer
    for layer in (
        _layer(2, "TRAINING", (4, 4), 102, 4),
        _layer(3, "SECRET", (15, 22), 50, 6),
        _layer(4, "TOP_SECRET", (23, 30), 65, 8),
        _layer(5, "COSMIC", (31, 36), 105, 10),
        _layer(6, "ATOMAL", (37, 42), 160, 12),
        _layer(7, "EXTENDED", (43, 50), 440, 40),
        _layer(8, "ENHANCED_SEC", (51, 58), 80, 8),
        _layer(9, "EXECUTIVE", (59, 62), 200, 12),
    )
}

_NAMES: Final = (
    "System Control, TPM Security, Management Engine, Performance Monitor, ML Inference Engine, "
    "Network Interface, Storage Controller, Power Management, Display, Audio, USB, Telemetry, "
    "Clearance Storage, Session Manager, Audit Logger, "
    "CRYPTO, SIGNALS, NUCLEAR, WEAPONS, COMMS, SENSORS, MAINT, EMERGENCY, "
    "Mission Planning, Strategic Analysis, Intel Fusion, Command Decision, Tactical Analysis, "
    "Resource Allocation, Threat Assessment, Coalition Intel, "
    "Predictive Analytics 1, Predictive Analytics 2, Pattern Recognition, Coalition Analytics, "
    "Threat Forecasting, Global Correlation, "
    "ATOMAL Fusion 1, ATOMAL Fusion 2, NC3 Link, Strategic ATOMAL, Tactical ATOMAL, ATOMAL Archive, "
    "Extended Analytics, Cross-Domain Fusion, Enhanced Prediction, Quantum Integration, Advanced AI/ML, "
    "Strategic Planning, Global Intelligence, Autonomous Systems, "
    "Adversarial ML Defense, Security Analytics, Cryptographic AI, Threat Intel Fusion, "
    "Behavioral Biometrics, Secure Enclave, Network Security AI, SOAR, "
    "Strategic Planning, Decision Support, NC3 Integration, Global Situational Awareness"
).split(", ")
_EMERGENCY_STOP: Final = 83


def _layer_of(device_id: int) -> int:
    for layer in LAYERS.values():
        if layer.first_device <= device_id <= layer.last_device:
            return layer.number
    return 0


def _name_of(device_id: int) -> str:
    if device_id < len(_NAMES):
        return _NAMES[device_id]
    return "Emergency Stop" if device_id == _EMERGENCY_STOP else "reserved"


DEVICES: Final[dict[int, Device]] = {
    number: Device(device_id=number, name=_name_of(number), layer=_layer_of(number))
    for number in range(LAST_DEVICE + 1)
}


def device(device_id: int) -> Device:
    """Return the registry row of a device; UnknownDevice when there is none."""
    try:
        return DEVICES[device_id]
    except KeyError:
        msg = f"device {device_id!r} is not in the registry (0-{LAST_DEVICE})"
        raise UnknownDevice(msg) from None


def layer(number: int) -> Layer:
    """Return an operational layer; UnknownDevice when there is none."""
    try:
        return LAYERS[number]
    except KeyError:
        msg = f"layer {number!r} is not operational ({FIRST_LAYER}-{LAST_LAYER})"
        raise UnknownDevice(msg) from None


def token_id(device_id: int, offset: TokenOffset | int = TokenOffset.STATUS) -> int:
    """Return a device's token: 0x8000 + 3 * device + offset."""
    return TOKEN_START + TOKENS_PER_DEVICE * device_id + offset


def from_token(token: int) -> tuple[Device, TokenOffset]:
    """Return the device and the meaning of a token; UnknownDevice when it is nobody's."""
    number, offset = divmod(token - TOKEN_START, TOKENS_PER_DEVICE)
    if number not in DEVICES:
        last = token_id(LAST_DEVICE, TokenOffset.DATA)
        msg = f"token {token:#06x} is nobody's ({TOKEN_START:#06x}-{last:#06x})"
        raise UnknownDevice(msg)
    return DEVICES[number], TokenOffset(offset)


def clearance(layer_number: int) -> int:
    """Return a layer's clearance: byte 0x0L four times (layer 8: 0x08080808)."""
    return layer_number * 0x01010101


def from_clearance(value: int) -> Layer:
    """Return the layer a clearance stands for; UnknownDevice when it is none's."""
    number, rest = divmod(value, 0x01010101)
    if rest or number not in LAYERS:
        msg = f"clearance {value:#010x} is no layer's"
        raise UnknownDevice(msg)
    return LAYERS[number]
