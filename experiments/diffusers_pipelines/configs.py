"""The numbers of the networks, which take no torch to read."""

from __future__ import annotations

from dataclasses import dataclass

EPS, ZERO_SNR, FLOW = KINDS = ("eps", "zero_snr", "flow")


@dataclass(frozen=True)
class NetworkConfig:
    """All numbers of a network and of its training.

    Attributes:
      kind: of the network, see the module.
      data: as ``open_dataset`` takes it; images of one size and one channel, with classes.
      side: of the images: larger ones are padded to twice this, and averaged over 2x2 pixels.
      channels, layers, groups: of the UNet, a stage each; layers and groups of its normalisation.
      width, blocks, patch: of the transformer, with heads of 32.
      unlabelled: part of the samples whose class the transformer is not told.
      updates, batch, learning_rate, warmup: of AdamW, whose rate falls to 0 as a cosine.
      largest_weight: of an error of eps, which is weighted by 1 / alpha^2.
      average: decay of the average of the parameters, which is what is kept.
      seed: of the start, the batches and the noise.
      log_every: updates between two entries of the loss.
    """

    kind: str
    data: str = "tfds:fashion_mnist"
    side: int = 16
    channels: tuple[int, ...] = (32, 64, 64)
    layers: int = 1
    groups: int = 8
    width: int = 128
    blocks: int = 4
    patch: int = 2
    unlabelled: float = 0.1
    updates: int = 3000
    batch: int = 32
    learning_rate: float = 1e-3
    warmup: int = 200
    largest_weight: float = 1000.0
    average: float = 0.998
    seed: int = 0
    log_every: int = 100


_DIGITS = {
    "data": "digits", "side": 8, "channels": (32, 64), "learning_rate": 2e-3, "warmup": 100,
    "average": 0.995,
}  # fmt: skip

CONFIGS = {
    FLOW: NetworkConfig(FLOW, updates=2800),
    ZERO_SNR: NetworkConfig(ZERO_SNR, updates=1000, **_DIGITS),
    EPS: NetworkConfig(EPS, updates=1500, **_DIGITS),
}

SMALLEST_CONFIGS = {
    kind: NetworkConfig(
        kind, data="digits", side=8, channels=(8, 8), width=32, blocks=1, updates=4, batch=8,
        warmup=1, log_every=2,
    )
    for kind in KINDS
}  # fmt: skip
