"""What every architecture promises, over the registry of model configs."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch.distributions import Normal, kl_divergence
from torch.utils._python_dispatch import TorchDispatchMode

from galgen.config.paths import CONF
from galgen.config.targets import instantiate
from galgen.data.batch import Batch
from galgen.models.likelihoods import NoiseAware
from galgen.models.networks import Residual
from galgen.models.posterior import LOG_VARIANCE, kl_to_standard_normal, posterior
from galgen.models.vae import VAE
from galgen.priors.random_numbers import standard_normal
from galgen.training.model_training import ModelTraining

MODELS = sorted(path.stem for path in (CONF / "model").glob("[!_]*.yaml"))
REDSHIFTS = torch.linspace(0.1, 2.5, 6)
CORRELATION = torch.tensor([[0.1, 0.2, 0.1], [0.2, 1.0, 0.2], [0.1, 0.2, 0.1]])


@pytest.fixture(params=["F814W", "F606W,F814W,F160W"])
def bands(request):
    return request.param.split(",")


@pytest.fixture(params=MODELS)
def model(request, composed, bands):
    torch.manual_seed(0)
    config = composed(
        f"model={request.param}", "data.image_size=48", "model.width=4", "model.image_size=48",
        f"data.bands=[{','.join(bands)}]",
    )  # fmt: skip
    return instantiate(config.model)


def batch_of(n: int, size: int = 48, bands: int = 1) -> Batch:
    image = torch.rand(n, bands, size, size, generator=torch.Generator().manual_seed(1))
    telescope = {
        "noise_variance": torch.full((n, bands), 0.1),
        "noise_correlation": CORRELATION.expand(bands, -1, -1),
        "psf": torch.full((n, bands, 3, 3), 1 / 9),
    }
    return Batch(image, torch.arange(n), REDSHIFTS[:n], **telescope)


def one_of(batch: Batch, number: int) -> Batch:
    """Return a batch of one galaxy of a batch."""
    kept, rows = vars(batch), slice(number, number + 1)
    names = ("image", "index", "redshift", "noise_variance", "psf")
    return Batch(**{name: kept[name][rows] for name in names})


def test_contract_shapes(model):
    batch = batch_of(3, bands=model.bands)
    q = model.encode(batch.image, batch.redshift)
    assert isinstance(q, Normal)
    assert q.batch_shape == (3, model.latent_dim)
    assert model.decode(q.mean, batch.redshift).shape == batch.image.shape


def test_every_parameter_gets_a_gradient(model):
    batch = batch_of(6, bands=model.bands)
    model.loss(batch, 0.1, torch.randn(6, model.latent_dim)).total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_loss_is_reconstruction_plus_beta_kl_plus_redshift(model):
    model.eval()
    batch = batch_of(5, bands=model.bands)
    noise = torch.randn(5, model.latent_dim)
    loss = model.loss(batch, 0.7, noise)
    q = model.encode_batch(batch)
    latent = q.mean + q.stddev * noise
    expected = 0.7 * kl_divergence(q, Normal(0.0, 1.0)).sum() / 5
    prediction = model.decode(latent, batch.redshift)
    expected += model.likelihood(model.observe(prediction, batch), batch).mean()
    if loss.redshift is not None:
        predicted = model.predict(latent, batch.redshift)[1]
        expected += 1000 * ((predicted - batch.redshift) ** 2).sum() / 5
    torch.testing.assert_close(loss.total, expected, rtol=1e-5, atol=1e-4)


def test_in_eval_mode_a_galaxy_does_not_depend_on_its_batch(model):
    model.eval()
    batch = batch_of(6, bands=model.bands)
    together = model.decode(model.encode(batch.image, batch.redshift).mean, batch.redshift)
    one = batch.image[2:3], batch.redshift[2:3]
    alone = model.decode(model.encode(*one).mean, one[1])
    torch.testing.assert_close(together[2:3], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("model", ["vae", "fancy_cvae"], indirect=True)
def test_a_galaxy_with_the_misfit_scale_counts_half(model):
    """The total stays the bound; a galaxy's weight does not pass gradients."""
    model.eval().likelihood = NoiseAware()
    batch, noise = batch_of(4, bands=model.bands), torch.randn(4, model.latent_dim)
    batch.noise_variance *= torch.tensor([[0.2], [0.1], [0.05], [9.0]])
    plain = model.loss(batch, 0.7, noise)
    assert plain.tempered is None
    alone = [model.loss(one_of(batch, i), 0.7, noise[i : i + 1]) for i in range(4)]
    q = model.encode_batch(batch)
    prediction = model.decode(q.mean + q.stddev * noise, batch.redshift)
    misfit = model.likelihood.split(model.observe(prediction, batch), batch)[0].detach()
    model.misfit_scale = float(misfit[0])
    found = model.loss(batch, 0.7, noise)
    torch.testing.assert_close(found.total, plain.total)
    weights = [1 / (1 + max(float(m / misfit[0]), 0)) for m in misfit]
    assert weights[0] == 0.5
    assert weights[2] < weights[1] < 0.4
    assert weights[3] == 1
    expected = sum(w * one.total for w, one in zip(weights, alone, strict=True)) / 4
    torch.testing.assert_close(found.tempered, expected)
    parameter = next(model.decoder.parameters())
    gradients = [torch.autograd.grad(loss, parameter)[0] for loss in (found.tempered, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("model", ["cvae", "cvae2", "fancy_cvae"], indirect=True)
def test_conditional_models_use_the_redshift(model):
    latent = torch.randn(2, model.eval().latent_dim)
    one, two = (model.decode(latent, torch.full((2,), z)) for z in (0.1, 2.0))
    assert not torch.equal(one, two)


def test_kl_agrees_with_torch():
    torch.manual_seed(0)
    q = Normal(torch.randn(4, 7), torch.rand(4, 7) + 0.1)
    torch.testing.assert_close(
        kl_to_standard_normal(q), kl_divergence(q, Normal(0.0, 1.0)).sum(dim=1)
    )


def test_log_variance_is_clamped():
    q = posterior(torch.zeros(1, 2), torch.tensor([[1e6, -1e6]]))
    expected = [math.exp(0.5 * LOG_VARIANCE[1]), math.exp(0.5 * LOG_VARIANCE[0])]
    torch.testing.assert_close(q.stddev[0], torch.tensor(expected))


def test_latents_are_standard_normal_and_differ():
    latent = torch.from_numpy(standard_normal(seed=1, n=20_000, width=5))
    assert latent.mean(dim=0).abs().max() < 0.03
    assert (latent.std(dim=0) - 1).abs().max() < 0.03
    correlation = np.corrcoef(latent.T) - np.eye(5)
    assert np.abs(correlation).max() < 0.03
    assert np.array_equal(standard_normal(1, 10, 5), latent[:10])


@pytest.mark.parametrize(
    "arguments", [{"output": "tanh"}, {"latent_dim": 0}, {"norm": "none"}, {"image_size": 300},
     {"flux_scale": 0.0}, {"flux_scale": math.nan}, {"misfit_scale": 0.0}],
)  # fmt: skip
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        VAE(**{"image_size": 32, "width": 4, **arguments})


@pytest.mark.parametrize(("output", "low", "high"), [("sigmoid", 0, 1), ("softplus", 0, 1e9)])
def test_outputs_keep_their_bounds(output, low, high):
    model = VAE(image_size=32, width=4, output=output).eval()
    images = model.decode(100 * torch.randn(8, 32))
    assert images.min() >= low
    assert images.max() <= high


def test_beta_in_training_follows_the_schedule_and_validation_its_end():
    training = ModelTraining(VAE(image_size=32, width=4))
    training.model.beta_schedule = SimpleNamespace(beta=0.9)
    training.eval().validation_step(batch_of(4, 32), 0)
    means = training.means["val"].over_ranks(SingleDeviceStrategy())
    assert means["beta"] == pytest.approx(0.9)
    torch.testing.assert_close(means["loss"], means["reconstruction"] + 0.9 * means["kl"])


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("size", [32, 45, 101])
@pytest.mark.parametrize("name", MODELS)
def test_residual_networks_and_fluxes_go_with_every_model_and_size(composed, name, size, norm):
    config = composed(
        f"model={name}", f"data.image_size={size}", f"model.image_size={size}", "model.width=2",
        "network=residual", "network.residual_blocks=2", "model.flux_scale=0.01",
        f"model.norm={norm}", "model.latent_dim=3",
    )  # fmt: skip
    model, batch = instantiate(config.model), batch_of(2, size)
    prediction = model.decode(model.encode(batch.image, batch.redshift).mean, batch.redshift)
    assert prediction.shape == batch.image.shape
    model.loss(batch, 0.1, torch.randn(2, 3)).total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_a_decoded_galaxy_is_proportional_to_its_amplitude():
    torch.manual_seed(0)
    model = VAE(image_size=32, width=4, latent_dim=3, output="softplus", flux_scale=0.02).eval()
    latent = torch.randn(4, 3)
    images = model.decode(latent)
    planes = torch.nn.functional.softplus(model.decoder(latent[:, None]))
    amplitude = latent @ model.amplitude.weight[0] + model.amplitude.bias
    expected = planes * (0.02 * amplitude.exp())[:, None, None, None]
    torch.testing.assert_close(images, expected)
    with torch.no_grad():
        model.amplitude.bias += math.log(3)
    torch.testing.assert_close(model.decode(latent), 3 * images)


@pytest.mark.parametrize("model", ["vae", "cvae", "cvae2", "fancy_cvae"], indirect=True)
def test_with_a_flux_scale_the_encoder_sees_asinh(model):
    model.eval()
    batch = batch_of(3, bands=model.bands)
    expected = model.encode(torch.asinh(batch.image / 0.2), batch.redshift)
    model.flux_scale = 0.2
    found = model.encode(batch.image, batch.redshift)
    torch.testing.assert_close(found.mean, expected.mean)
    torch.testing.assert_close(found.stddev, expected.stddev)


@pytest.mark.parametrize("model", ["vae", "cvae", "cvae2", "fancy_cvae"], indirect=True)
def test_an_encoder_that_sees_the_telescope(composed, model):
    """What is unknown counts as the usual, and the decoder sees none of it."""
    torch.manual_seed(0)
    names = "abc"[: model.bands]
    sizes = {"image_size": 48, "width": 4, "norm": "group"}
    model = type(model)(bands=names, telescope_planes=True, **sizes)
    batch = batch_of(3, bands=len(names))
    model.telescope.learn(batch)
    redshift = batch.redshift if model.conditional else None
    usual = model.encode_batch(batch).mean
    assert torch.equal(usual, model.encode(batch.image, redshift).mean)
    unknown = replace(batch, noise_variance=None, psf=None)
    assert torch.equal(usual, model.encode_batch(unknown).mean)
    noisy = replace(batch, noise_variance=batch.noise_variance * torch.tensor([[1], [4], [9]]))
    numbers = model.telescope.numbers(noisy)
    assert numbers[:, 0].exp().tolist() == pytest.approx([1, 2, 3])
    assert numbers[:, len(names) :].abs().max() == 0
    seen = model.encode_batch(noisy).mean
    assert torch.equal(seen[0], usual[0])
    assert (seen[1:] - usual[1:]).abs().max() > 1e-4


def test_a_predicted_redshift_comes_with_the_image_that_is_decoded(composed):
    torch.manual_seed(0)
    config = composed("model=fancy_cvae", "data.image_size=32", "model.width=4")
    model = instantiate(config.model, flux_scale=0.3).eval()
    latent = torch.randn(2, model.latent_dim)
    redshift = torch.full((2,), 0.5)
    predicted = model.predict(latent, redshift)[0]
    torch.testing.assert_close(predicted, model.decode(latent, redshift))


def test_by_default_the_weights_have_the_names_of_earlier_versions():
    plain = VAE(image_size=32, width=4).state_dict()
    assert not [name for name in plain if "amplitude" in name or name.count("layers") > 1]
    extended = VAE(image_size=32, width=4, network=Residual(), flux_scale=0.1).state_dict()
    assert {"amplitude.weight", "encoder.layers.2.layers.2.weight"} <= set(extended)


class Questions(TorchDispatchMode):
    """Counts the operations that wait for an accelerator, as Tensor.item does."""

    def __init__(self):
        super().__init__()
        self.asked = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.asked += operation in (
            torch.ops.aten._local_scalar_dense.default,
            torch.ops.aten.is_nonzero.default,
            torch.ops.aten.nonzero.default,
            torch.ops.aten.masked_select.default,
        )
        return operation(*args, **(kwargs or {}))


def test_questions_are_counted():
    with Questions() as questions:
        if torch.ones(1) > 0:
            torch.ones(1).item()
    assert questions.asked == 2


@pytest.mark.parametrize("likelihood", ["squared_error", "learned_sigma", "noise_aware"])
@pytest.mark.parametrize("name", MODELS)
def test_a_step_never_waits_for_the_device(composed, name, likelihood):
    config = composed(
        f"model={name}", f"likelihood={likelihood}", "data.image_size=32", "model.image_size=32",
        "model.width=4",
    )  # fmt: skip
    training, batch = ModelTraining(instantiate(config.model)), batch_of(4, 32)
    made = training.configure_optimizers()
    optimizer = made["optimizer"] if isinstance(made, dict) else made
    for learns in (True, False):
        training.train(learns)
        with Questions() as questions, torch.set_grad_enabled(learns):
            noise = training.noise(batch, training.generator(1, 0, 0))
            loss = training.model.loss(batch, 0.1, noise)
            training.means["train"].add(loss, 0.1, 4)
            if learns:
                loss.total.backward()
                optimizer.step()
        assert questions.asked == 0


def test_steps_draw_the_same_numbers_however_they_are_reached():
    training, batch = ModelTraining(VAE(image_size=32, width=4, seed=3)), batch_of(4, 32)

    def draw(*counters):
        return training.noise(batch, training.generator(*counters))

    assert torch.equal(draw(1, 1, 2), draw(1, 1, 2))
    places = [(1, 1, 2), (1, 2, 1), (1, 1, 3), (2, 1)]
    assert len({str(draw(*place).tolist()) for place in places}) == 4
