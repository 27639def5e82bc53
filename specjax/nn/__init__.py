"""Networks: a Flax UNet that is trained, kept and sampled.

``import specjax`` does not load this package (nor Flax); ``specjax.nn`` does when it is used::

    from specjax.nn import TrainConfig, open_run, train

    train(specjax.data.open("digits"), "runs/digits")
    denoise = open_run("runs/digits").denoiser()
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
