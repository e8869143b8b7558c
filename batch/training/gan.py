"""GAN training: losses, one step, and the state from which a killed training resumes."""

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from batch.training.augment import augment
from batch.training.export import fuse_batch_norm
from batch.training.networks import make_discriminator_model, make_generator_model
from batch.training.recipe import Architecture, TrainingSettings
from batch.training.styles import cluster_styles
from batch.training.tensorflow import keras, tf
from gantcha.alphabet import SIDE
from gantcha.errors import GantchaError
from pool.storage.atomic import write_durably

_STANDING_BATCH = 4096
_SKETCHED = 20  # glyphs of a class
_LEAST_SPANS = 4  # of the average over a generator's last steps that its training has


class RecipeError(GantchaError):
    """A saved state is damaged or belongs to another training."""


@dataclass(frozen=True)
class TrainingSet:
    """Images of one glyph class and the style each is written in."""

    images: npt.NDArray[np.uint8]
    """`[N, 28, 28]`"""
    styles: npt.NDArray[np.int32]
    """`[N]`"""
    style_count: int

    @classmethod
    def of(cls, images: npt.NDArray[np.uint8], style_count: int, seed: int) -> "TrainingSet":
        """Cluster the images into styles."""
        return cls(images, cluster_styles(images, style_count, seed), style_count)

    def only(self, chosen: npt.NDArray[np.bool_]) -> "TrainingSet":
        """Leave out the images that are not `chosen` `[N]`."""
        return TrainingSet(self.images[chosen], self.styles[chosen], self.style_count)

    def with_copies(self, copies: int, seed: int) -> "TrainingSet":
        """Add augmented copies of every image; each keeps its style."""
        rng = np.random.default_rng(seed)
        images = [self.images, *(augment(self.images, rng) for _ in range(copies))]
        return TrainingSet(np.concatenate(images), np.tile(self.styles, copies + 1), self.style_count)

    @property
    def style_frequencies(self) -> npt.NDArray[np.float64]:
        """Share of each style among the images; sampling draws styles by it."""
        return np.bincount(self.styles, minlength=self.style_count) / len(self.styles)


class StartingWeights(NamedTuple):
    """What the pretraining gives one class to start with."""

    generator: list[npt.NDArray[np.float32]]
    discriminator: list[npt.NDArray[np.float32]]


def generator_loss(fake_logits: tf.Tensor, shares: tf.Tensor | None = None) -> tf.Tensor:
    """Non-saturating loss of Goodfellow et al. 2014: small when the fakes pass for real.

    Fakes count equally, or by their `shares` `[N]`, which add up to 1.
    """
    return _mean(tf.nn.softplus(-fake_logits), shares)


def discriminator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor, shares: tf.Tensor | None = None) -> tf.Tensor:
    """Small when reals score high and fakes low; `shares` as in `generator_loss`."""
    return tf.reduce_mean(tf.nn.softplus(-real_logits)) + _mean(tf.nn.softplus(fake_logits), shares)


def _mean(losses: tf.Tensor, shares: tf.Tensor | None) -> tf.Tensor:
    return tf.reduce_mean(losses) if shares is None else tf.reduce_sum(losses * shares)


def penalised_logits(
    discriminator: keras.Model, real: tf.Tensor, conditions: tf.Tensor, settings: TrainingSettings, penalise: bool
) -> tuple[tf.Tensor, tf.Tensor | float]:
    """Score real images, with the R1 penalty on the gradient there (Mescheder et al. 2018) if `penalise`."""
    if not penalise:
        return discriminator([real, conditions]), 0.0
    with tf.GradientTape() as tape:
        tape.watch(real)
        logits = discriminator([real, conditions])
        total = tf.reduce_sum(logits)
    squared_norm = tf.reduce_mean(tf.reduce_sum(tape.gradient(total, real) ** 2, (1, 2, 3)))
    return logits, settings.r1_gamma / 2 * settings.r1_every * squared_norm


class Gan:
    """A generator and a discriminator trained against each other on one glyph class, or on many together."""

    def __init__(
        self,
        sets: Sequence[TrainingSet],
        architecture: Architecture,
        settings: TrainingSettings,
        *,
        steps: int,
        rate: float,
        groups: int = 1,
    ) -> None:
        self._sets, self._settings, self._groups = sets, settings, groups
        self.architecture = architecture
        self.generator = make_generator_model(architecture, len(sets), groups, settings.seed)
        self.ema_generator = make_generator_model(architecture, len(sets), groups, settings.seed)
        self.discriminator = make_discriminator_model(len(sets) * architecture.style_count, settings.seed)
        schedule = keras.optimizers.schedules.CosineDecay(rate, steps, alpha=settings.last_rate_ratio)
        # No momentum: it destabilises the two networks.
        self._generator_optimizer = keras.optimizers.Adam(schedule, beta_1=0.0, beta_2=0.99)
        self._discriminator_optimizer = keras.optimizers.Adam(schedule, beta_1=0.0, beta_2=0.99)
        self._generator_optimizer.build(self.generator.trainable_variables)
        self._discriminator_optimizer.build(self.discriminator.trainable_variables)
        self.steps, self.step = steps, 0
        # Of a short training, an average over as many steps as usual would be of untrained weights mostly.
        self._ema_decay = max(0.0, min(settings.ema_decay, 1 - _LEAST_SPANS / steps))
        self._train_step = tf.function(self._traced_step)

    def train_step(self) -> tuple[float, float]:
        """Go one step, and give the losses of generator and discriminator, that without its penalty.

        Batch and latents depend only on seed and step, so a resumed training repeats them.
        """
        settings, rng = self._settings, np.random.default_rng([self._settings.seed, self.step])
        group_size = settings.batch_size // self._groups
        images, conditions = [], []
        for index in rng.choice(len(self._sets), self._groups, replace=False):
            chosen = rng.choice(len(self._sets[index].images), group_size)
            images.append(self._sets[index].images[chosen])
            conditions.append(index * self.architecture.style_count + self._sets[index].styles[chosen])
        losses = self._train_step(
            tf.constant(np.concatenate(images)),
            tf.constant(np.concatenate(conditions), tf.int32),
            tf.constant([settings.seed, self.step], tf.int32),
            penalise=self.step % settings.r1_every == 0,
        )
        self.step += 1
        return float(losses[0]), float(losses[1])

    def _traced_step(
        self, images: tf.Tensor, conditions: tf.Tensor, seed: tf.Tensor, penalise: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        real = tf.cast(images[..., None], tf.float32) / 127.5 - 1
        latents = tf.random.stateless_normal((2, len(conditions), self.architecture.latent_size), seed)
        fake = self.generator([latents[0], conditions])
        with tf.GradientTape() as tape:
            real_logits, penalty = penalised_logits(self.discriminator, real, conditions, self._settings, penalise)
            own_loss = discriminator_loss(real_logits, self.discriminator([fake, conditions]))
            penalised_loss = own_loss + penalty
        variables = self.discriminator.trainable_variables
        self._discriminator_optimizer.apply(tape.gradient(penalised_loss, variables), variables)
        with tf.GradientTape() as tape:
            fake = self.generator([latents[1], conditions])
            loss = generator_loss(self.discriminator([fake, conditions]))
        variables = self.generator.trainable_variables
        self._generator_optimizer.apply(tape.gradient(loss, variables), variables)
        for average, variable in zip(self.ema_generator.variables, self.generator.variables, strict=True):
            average.assign_add((variable - average) * (1 - self._ema_decay))
        return loss, own_loss

    def sketch(self) -> npt.NDArray[np.uint8]:
        """Draw the same latents at every call: `[N, 28, 28]`, one glyph of each class, or some of the only one."""
        rng, size, count = np.random.default_rng(self._settings.seed), self._settings.batch_size, len(self._sets)
        drawn = []
        for first in range(0, count, self._groups):
            conditions = []
            for index in (np.arange(first, first + self._groups) % count).tolist():  # groups must be full
                frequencies = self._sets[index].style_frequencies
                styles = rng.choice(len(frequencies), size, p=frequencies)
                conditions.append(index * self.architecture.style_count + styles)
            latents = rng.standard_normal((self._groups * size, self.architecture.latent_size), np.float32)
            images = np.asarray(self.ema_generator([latents, np.concatenate(conditions).astype(np.int32)]))
            of_groups = images.reshape(self._groups, size, SIDE, SIDE)[:, : max(1, _SKETCHED // count)]
            drawn.append(of_groups.reshape(-1, SIDE, SIDE))
        glyphs = np.concatenate(drawn)[: max(count, _SKETCHED // count * count)]
        return np.rint(glyphs * 127.5 + 127.5).astype(np.uint8)

    def starting_weights(self, class_index: int) -> StartingWeights:
        """Take the weights that one class starts with from a GAN over many: of tables by class only its own rows."""
        single = make_generator_model(self.architecture), make_discriminator_model(self.architecture.style_count)
        joint = self.ema_generator, self.discriminator

        def rows_of_class(shape: tuple[int, ...], source: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            return source if source.shape == shape else source[class_index * shape[0] :][: shape[0]]

        return StartingWeights(
            *(
                [rows_of_class(own.shape, source) for own, source in zip(one.weights, many.get_weights(), strict=True)]
                for one, many in zip(single, joint, strict=True)
            )
        )

    def start_from(self, weights: StartingWeights) -> None:
        """Start from weights of a GAN over many classes."""
        self.generator.set_weights(weights.generator)
        self.ema_generator.set_weights(weights.generator)
        self.discriminator.set_weights(weights.discriminator)

    def fused_generator(self) -> dict[str, tf.Tensor]:
        """Return the weights of the EMA generator of a GAN over one class, its batch normalisation fused."""
        rng = np.random.default_rng(self._settings.seed)
        (training_set,) = self._sets
        latent = rng.standard_normal((_STANDING_BATCH, self.architecture.latent_size), np.float32)
        frequencies = training_set.style_frequencies
        return fuse_batch_norm(
            self.ema_generator,
            tf.constant(latent),
            tf.constant(rng.choice(len(frequencies), len(latent), p=frequencies)),
        )

    def _state(self) -> list[tf.Variable]:
        networks = (self.generator, self.ema_generator, self.discriminator)
        optimizers = (self._generator_optimizer, self._discriminator_optimizer)
        return [variable for part in (*networks, *optimizers) for variable in part.variables]

    def save(self, path: Path, recipe: str) -> None:
        """Save everything that resuming a training needs.

        `recipe` identifies the settings and data, so that the state of another training is refused.

        Raises:
            StorageError: the folder is not writable or full.
        """
        packed = io.BytesIO()
        np.savez(packed, *(variable.numpy() for variable in self._state()), step=self.step, recipe=recipe)
        write_durably(path, packed.getvalue())

    def restore(self, path: Path, recipe: str) -> None:
        """Go back to what `save` wrote.

        Raises:
            RecipeError: the file is damaged, or of a training with another recipe.
        """
        try:
            with np.load(path) as state:
                saved = dict(state)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise RecipeError(f"{path} is damaged ({error}): train again without --resume") from error
        if str(saved["recipe"]) != recipe:
            raise RecipeError(
                f"{path} was saved by a training with other settings or data: train again without --resume"
            )
        for number, variable in enumerate(self._state()):
            variable.assign(saved[f"arr_{number}"])
        self.step = int(saved["step"])
