"""The registry: 104 devices, 8 layers, tokens and clearances both ways."""

from __future__ import annotations

import pytest

from dsmil.events import devices
from dsmil.events.devices import TokenOffset, UnknownDevice

NAMES = {
    range(12): "System Control, TPM Security, Management Engine, Performance Monitor, ML Inference Engine, "
    "Network Interface, Storage Controller, Power Management, Display, Audio, USB, Telemetry",
    range(12, 15): "Clearance Storage, Session Manager, Audit Logger",
    range(15, 23): "CRYPTO, SIGNALS, NUCLEAR, WEAPONS, COMMS, SENSORS, MAINT, EMERGENCY",
    range(23, 31): "Mission Planning, Strategic Analysis, Intel Fusion, Command Decision, Tactical Analysis, "
    "Resource Allocation, Threat Assessment, Coalition Intel",
    range(31, 37): "Predictive Analytics 1, Predictive Analytics 2, Pattern Recognition, Coalition Analytics, "
    "Threat Forecasting, Global Correlation",
    range(37, 43): "ATOMAL Fusion 1, ATOMAL Fusion 2, NC3 Link, Strategic ATOMAL, Tactical ATOMAL, ATOMAL Archive",
    range(43, 51): "Extended Analytics, Cross-Domain Fusion, Enhanced Prediction, Quantum Integration, "
    "Advanced AI/ML, Strategic Planning, Global Intelligence, Autonomous Systems",
    range(51, 59): "Adversarial ML Defense, Security Analytics, Cryptographic AI, Threat Intel Fusion, "
    "Behavioral Biometrics, Secure Enclave, Network Security AI, SOAR",
    range(59, 63): "Strategic Planning, Decision Support, NC3 Integration, Global Situational Awareness",
    range(63, 83): ", ".join(["reserved"] * 20),
    range(83, 84): "Emergency Stop",
    range(84, 104): ", ".join(["reserved"] * 20),
}
LAYER_TABLE = [
    (2, "TRAINING", 4, 4, 102, 4),
    (3, "SECRET", 15, 22, 50, 6),
    (4, "TOP_SECRET", 23, 30, 65, 8),
    (5, "COSMIC", 31, 36, 105, 10),
    (6, "ATOMAL", 37, 42, 160, 12),
    (7, "EXTENDED", 43, 50, 440, 40),
    (8, "ENHANCED_SEC", 51, 58, 80, 8),
    (9, "EXECUTIVE", 59, 62, 200, 12),
]


def test_there_are_104_devices() -> None:
    assert list(devices.DEVICES) == list(range(104))
    assert [row.device_id for row in devices.DEVICES.values()] == list(range(104))


@pytest.mark.parametrize("numbers", NAMES, ids=str)
def test_every_device_has_its_documented_name(numbers: range) -> None:
    assert [devices.device(n).name for n in numbers] == NAMES[numbers].split(", ")


@pytest.mark.parametrize("row", LAYER_TABLE, ids=lambda row: row[1])
def test_every_layer_is_as_documented(row: tuple[int, str, int, int, float, float]) -> None:
    number, name, first, last, tops, memory_gb = row
    layer = devices.layer(number)
    assert (layer.number, layer.name, layer.first_device, layer.last_device) == (number, name, first, last)
    assert (layer.tops, layer.memory_gb) == (tops, memory_gb)
    assert [n for n in devices.DEVICES if devices.device(n).layer == number] == list(range(first, last + 1))


def test_there_are_no_other_layers() -> None:
    assert list(devices.LAYERS) == [row[0] for row in LAYER_TABLE]


def test_devices_of_no_operational_layer() -> None:
    none = [n for n in devices.DEVICES if devices.device(n).layer == 0]
    assert none == [0, 1, 2, 3, *range(5, 15), *range(63, 104)]


def test_the_router_s_token_is_the_documented_one() -> None:
    assert devices.device(52).token_base == 0x809C
    assert devices.token_id(52, TokenOffset.CONFIG) == 0x809D
    assert devices.token_id(52, TokenOffset.DATA) == 0x809E


def test_the_clearance_of_layer_8_is_the_documented_one() -> None:
    assert devices.clearance(8) == devices.layer(8).clearance == 0x08080808


def test_tokens_and_clearances_fill_their_ranges_without_gap_or_overlap() -> None:
    tokens = [devices.token_id(n, offset) for n in devices.DEVICES for offset in TokenOffset]
    assert tokens == list(range(0x8000, 0x8000 + 312))
    assert [(f"{devices.clearance(n):08x}") for n in devices.LAYERS] == [f"0{n}" * 4 for n in range(2, 10)]


@pytest.mark.parametrize("number", devices.DEVICES)
@pytest.mark.parametrize("offset", TokenOffset)
def test_a_token_leads_back_to_its_device(number: int, offset: TokenOffset) -> None:
    assert devices.from_token(devices.token_id(number, offset)) == (devices.device(number), offset)


@pytest.mark.parametrize("number", devices.LAYERS)
def test_a_clearance_leads_back_to_its_layer(number: int) -> None:
    assert devices.from_clearance(devices.clearance(number)) is devices.layer(number)


@pytest.mark.parametrize("number", [-1, 104, 2**70])
def test_an_unknown_device(number: int) -> None:
    with pytest.raises(UnknownDevice, match=r"is not in the registry \(0-103\)"):
        devices.device(number)


@pytest.mark.parametrize("number", [-1, 0, 1, 10, 255])
def test_an_unknown_layer(number: int) -> None:
    with pytest.raises(UnknownDevice, match=r"is not operational \(2-9\)"):
        devices.layer(number)


@pytest.mark.parametrize("token", [-1, 0, 0x7FFF, 0x8000 + 312, 2**70])
def test_a_token_of_nobody(token: int) -> None:
    with pytest.raises(UnknownDevice, match=r"nobody's \(0x8000-0x8137\)"):
        devices.from_token(token)


@pytest.mark.parametrize("value", [-1, 0, 1, 0x01010101, 0x0A0A0A0A, 0x08080807, 0x03030304, 2**70])
def test_a_clearance_of_no_layer(value: int) -> None:
    with pytest.raises(UnknownDevice, match="is no layer's"):
        devices.from_clearance(value)


def test_an_unknown_device_is_a_failed_look_up() -> None:
    with pytest.raises(LookupError):
        devices.device(104)
