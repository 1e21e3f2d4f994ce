"""Photons of the synthetic tomogram."""

from typing import Any

from configs.ablations.study import study


def get_config(base: str = "default") -> Any:
    return study(
        "How does the U-Net bear photon noise, beside thresholding?",
        base,
        grid={"data.phantom.photons": (300.0, 1000.0, 3000.0, 10000.0, 30000.0)},
    )
