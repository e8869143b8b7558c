"""Fine-tuning of a trained generator, so that its glyphs vary as real ones do."""

import numpy as np
import numpy.typing as npt

from batch.training.features import WEIGHTS, Features
from batch.training.gan import TrainingSet, discriminator_loss, generator_loss, penalised_logits
from batch.training.networks import as_input, make_discriminator_model
from batch.training.recipe import BASE, SLOPE, TrainingSettings
from batch.training.tensorflow import keras, tf
from gantcha.alphabet import SIDE, GlyphClass, GlyphClasses
from gantcha.glyphs.network import Network
from gantcha.glyphs.sampler import chances, legibility

_IMAGES = 2500  # of a class, from which the moments of real features are taken
_COMPONENTS = 96  # of each part of the features
_LEAST = 1e-6  # variance of a component
_MEMORY = 0.95  # of the moments of generated features, from batch to batch
_STRENGTH = 5.0  # of the Frechet distance beside the adversarial loss
_CHANNELS, _HIDDEN = (24, 48), 64  # of the discriminator: a quarter of the one that trained the generator
_WARM_UP = 60  # steps of the discriminator alone
_EMA_DECAY = 0.98

Floats = npt.NDArray[np.float64]


class FrechetLoss:
    """The Frechet distance between real and generated features as a loss (Mathiasen and Hvilshoj 2020).

    A batch is too small to tell a covariance from: moments of generated features are averages over batches, of which
    the last one alone has a gradient.
    """

    def __init__(self, real: npt.NDArray[np.float32], shares: Floats) -> None:
        self._centre = shares @ real
        values, axes = np.linalg.eigh(np.cov(real, rowvar=False, aweights=shares))
        values = values.clip(_LEAST)  # of few images, features may not vary at all
        kept = slice(-min(_COMPONENTS, int((values >= 1e-4 * values[-1]).sum())), None)
        self._axes = axes[:, kept]
        self._covariance = np.diag(values[kept])
        self._root = np.sqrt(self._covariance)
        self._total = float(values[kept].sum())
        self._first: Floats | None = None
        self._second: Floats | None = None

    def slope(self, generated: npt.NDArray[np.float32], shares: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the gradient of the distance, relative to the variance of real features: `[N, F]` -> `[N, F]`.

        `shares` `[N]` say how much each counts, and add up to 1.
        """
        points = (generated - self._centre).astype(np.float64) @ self._axes
        first, second = shares @ points, (points.T * shares) @ points
        if self._first is None or self._second is None:
            self._first, self._second = first, second
        self._first = _MEMORY * self._first + (1 - _MEMORY) * first
        self._second = _MEMORY * self._second + (1 - _MEMORY) * second
        covariance = self._second - np.outer(self._first, self._first)
        values, axes = np.linalg.eigh(self._root @ covariance @ self._root)
        floor = 1e-4 * (self._total / len(values)) ** 2
        inverse_root = axes / np.sqrt(values.clip(0) + floor) @ axes.T
        by_covariance = np.eye(len(values)) - self._root @ inverse_root @ self._root
        slope = 2 * self._first + 2 * (points - self._first) @ by_covariance  # real points have a mean of 0
        along_features: npt.NDArray[np.float32] = (slope @ self._axes.T / self._total).astype(np.float32)
        return along_features * shares[:, None]


class _Generator:
    """A generator without batch normalisation, as it is drawn with."""

    def __init__(self, weights: dict[str, tf.Tensor]) -> None:
        self.weights = {name: tf.Variable(weight, dtype=tf.float32) for name, weight in weights.items()}
        self.variables = list(self.weights.values())

    def __call__(self, latent: tf.Tensor, style: tf.Tensor) -> tf.Tensor:
        """`[N, latent_size]` and `[N]` -> images `[N, 28, 28, 1]` in -1..1."""
        weights, count = self.weights, tf.shape(latent)[0]
        narrow, wide = weights["conv_kernel"].shape[2:]
        hidden = tf.nn.leaky_relu(latent @ weights["dense"] + tf.gather(weights["styles"], style), SLOPE)
        hidden = tf.reshape(hidden, (-1, BASE, BASE, wide))
        map_shape = (count, 2 * BASE, 2 * BASE, narrow)
        maps = tf.nn.conv2d_transpose(hidden, weights["conv_kernel"], map_shape, 2) + weights["conv_bias"]
        hidden = tf.nn.leaky_relu(maps, SLOPE)
        image = tf.nn.conv2d_transpose(hidden, weights["image_kernel"], (count, SIDE, SIDE, 1), 2)
        return tf.tanh(image + weights["image_bias"])


class Refinement:
    """Training goes on with the Frechet distance in `features` as a loss, beside a discriminator that starts anew.

    Generated glyphs count by their chance to pass the legibility filter, so that those that captchas contain come to
    be like real ones; real ones count so in part. Latents have a scale of 1 afterwards.
    """

    def __init__(
        self,
        weights: dict[str, tf.Tensor],
        glyph_class: GlyphClass,
        training_set: TrainingSet,
        classes: GlyphClasses,
        features: Features,
        legibility_filter: Network,
        settings: TrainingSettings,
    ) -> None:
        self._index, self._classes, self._filter = glyph_class.index, classes, legibility_filter
        self._set, self._features, self._settings = training_set, features, settings
        self._real_shares = settings.refined_filtered * self._shares_of(training_set.images)
        self._real_shares += (1 - settings.refined_filtered) / len(training_set.images)
        self._rng = np.random.default_rng(settings.seed)
        self._generator = _Generator(weights | {"dense": weights["dense"] * settings.refined_scale})
        self._discriminator = make_discriminator_model(training_set.style_count, settings.seed, _CHANNELS, _HIDDEN)
        # No momentum, as in the training before.
        self._optimizers = [keras.optimizers.Adam(settings.refined_rate, beta_1=0.0, beta_2=0.99) for _ in range(2)]
        self._optimizers[0].build(self._generator.variables)
        self._optimizers[1].build(self._discriminator.trainable_variables)
        chosen = self._rng.permutation(len(training_set.images))[:_IMAGES]
        shares = self._real_shares[chosen] / self._real_shares[chosen].sum()
        self._losses = [FrechetLoss(part, shares) for part in features.of_glyphs(training_set.images[chosen])]
        self._generator_step = tf.function(self._traced_generator_step)
        self._discriminator_step = tf.function(self._traced_discriminator_step)

    def run(self, steps: int) -> dict[str, npt.NDArray[np.float32]]:
        """Train, and give the weights, averaged over the last steps."""
        settings = self._settings
        self._optimizers[1].learning_rate = 2 * settings.refined_rate
        for step in range(_WARM_UP):
            self._train_discriminator(step)
        falling = keras.optimizers.schedules.CosineDecay(settings.refined_rate, steps, alpha=settings.last_rate_ratio)
        averages = {name: variable.numpy() for name, variable in self._generator.weights.items()}
        for step in range(steps):
            rate = float(falling(step))
            self._optimizers[0].learning_rate, self._optimizers[1].learning_rate = rate, 2 * rate
            self._train_discriminator(step)
            latent, styles = self._inputs(settings.refined_batch_size)
            self._generator_step(tf.constant(latent), tf.constant(styles))
            decay = min(_EMA_DECAY, (step + 1) / (step + 10))
            averages = {
                name: decay * averages[name] + (1 - decay) * variable.numpy()
                for name, variable in self._generator.weights.items()
            }
        return averages

    def _inputs(self, count: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        frequencies = self._set.style_frequencies
        styles = self._rng.choice(len(frequencies), count, p=frequencies)
        latent = self._rng.standard_normal((count, self._generator.weights["dense"].shape[0]), np.float32)
        return latent, styles.astype(np.int32)

    def _train_discriminator(self, step: int) -> None:
        chosen = self._rng.choice(len(self._set.images), self._settings.batch_size, p=self._real_shares)
        latent, styles = self._inputs(self._settings.batch_size)
        self._discriminator_step(
            tf.constant(as_input(self._set.images[chosen])),
            tf.constant(self._set.styles[chosen]),
            tf.constant(latent),
            tf.constant(styles),
            penalise=step % self._settings.r1_every == 0,
        )

    def _traced_generator_step(self, latent: tf.Tensor, styles: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            images = self._generator(latent, styles)
            parts = self._features.of(images)
            shares = self._shares(images)
            slopes = tf.numpy_function(self._slopes, [shares, *parts], [tf.float32] * len(parts))
            near = sum(tf.reduce_sum(slope * part) for slope, part in zip(slopes, parts, strict=True))
            loss = _STRENGTH * near + generator_loss(self._discriminator([images, styles]), shares)
        variables = self._generator.variables
        self._optimizers[0].apply(tape.gradient(loss, variables), variables)

    def _shares(self, images: tf.Tensor) -> tf.Tensor:
        """Say how much each image counts: `[N]`, which adds up to 1."""

        def shares(levels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            glyphs = np.rint(levels[..., 0] * 127.5 + 127.5).astype(np.uint8)
            return self._shares_of(glyphs).astype(np.float32)

        return tf.ensure_shape(tf.numpy_function(shares, [images], tf.float32), (None,))

    def _shares_of(self, glyphs: npt.NDArray[np.uint8]) -> Floats:
        labels = np.full(len(glyphs), self._index, np.uint8)
        kept = chances(legibility(glyphs, labels, self._filter, self._classes))
        return np.asarray(kept / kept.sum())

    def _slopes(
        self, shares: npt.NDArray[np.float32], *parts: npt.NDArray[np.float32]
    ) -> list[npt.NDArray[np.float32]]:
        weighted = zip(WEIGHTS, self._losses, parts, strict=True)
        return [np.float32(weight) * loss.slope(part, shares) for weight, loss, part in weighted]

    def _traced_discriminator_step(
        self, real: tf.Tensor, real_styles: tf.Tensor, latent: tf.Tensor, styles: tf.Tensor, penalise: bool
    ) -> None:
        fake = self._generator(latent, styles)
        with tf.GradientTape() as tape:
            logits, penalty = penalised_logits(self._discriminator, real, real_styles, self._settings, penalise)
            loss = discriminator_loss(logits, self._discriminator([fake, styles]), self._shares(fake)) + penalty
        variables = self._discriminator.trainable_variables
        self._optimizers[1].apply(tape.gradient(loss, variables), variables)
