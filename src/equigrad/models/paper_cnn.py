"""``paper-mnist-cnn`` and ``paper-cifar-cnn``: the networks of the CGSV paper's experiments.

Xu et al., NeurIPS 2021; layer sizes as in the experiments' settings.
"""

from torch import nn

from equigrad.errors import ModelError
from equigrad.models.base import MODELS, ModelInput
from equigrad.models.cnn import image_shape

__all__ = ["paper_cifar_cnn", "paper_mnist_cnn"]


@MODELS.register("paper-mnist-cnn")
def paper_mnist_cnn(model_input: ModelInput, /, *, pad_value: float = 0.0) -> nn.Module:
    """Return two convolutions and two layers with tanh; 104,242 parameters for ten classes.

    Parameters
    ----------
    model_input
        Grey images ``(1, 28, 28)``, which are padded to 32 x 32, or ``(1, 32, 32)``.
    pad_value
        What the border is filled with: the standardised value of black, if images were
        standardised.
    """
    shape = image_shape("paper-mnist-cnn", model_input)
    if shape not in {(1, 28, 28), (1, 32, 32)}:
        raise ModelError(
            "Expected images (1, 28, 28) or (1, 32, 32) for the model 'paper-mnist-cnn', got "
            f"{shape}. Use 'cnn', which takes any size."
        )
    return nn.Sequential(
        nn.ConstantPad2d((32 - shape[2]) // 2, pad_value),
        *(nn.Conv2d(1, 64, 3), nn.Tanh(), nn.MaxPool2d(2)),
        *(nn.Conv2d(64, 16, 7), nn.Tanh(), nn.MaxPool2d(2)),
        nn.Flatten(),
        *(nn.Linear(256, 200), nn.Tanh()),
        nn.Linear(200, model_input.outputs),
    )


@MODELS.register("paper-cifar-cnn")
def paper_cifar_cnn(model_input: ModelInput, /) -> nn.Module:
    """Return two convolutions and three layers with ReLU; 121,182 parameters for ten classes.

    Parameters
    ----------
    model_input
        Colour images ``(3, 32, 32)``.
    """
    shape = image_shape("paper-cifar-cnn", model_input)
    if shape != (3, 32, 32):
        raise ModelError(
            f"Expected images (3, 32, 32) for the model 'paper-cifar-cnn', got {shape}. "
            "Use 'cnn', which takes any size."
        )
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 5), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
        *(nn.Linear(800, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU()),
        nn.Linear(84, model_input.outputs),
    )
