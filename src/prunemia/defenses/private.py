"""DP-SGD by Opacus: each sample's gradient is clipped, noise is added, an accountant adds up ε."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from prunemia.experiment import seed_of
from prunemia.training import Defense, Run, TrainingError
from prunemia.training.stacking import Alone

DELTA = 1e-5  # at which ε is reported
ORDERS = [1 + x / 10 for x in range(1, 100)] + [*range(12, 64), 128, 256, 512, 1024]
# Rényi orders that the accountant tries: Opacus' own, and larger ones, for much noise
CAVEAT = (
    "ε covers the fine-tuning alone: the original network was trained on the same samples without "
    "noise; which weights were pruned and where fine-tuning started come from it"
)
WHOLE = (
    "ε covers training and fine-tuning together; the noise is seeded, so it holds against those "
    "who do not know the seed"
)


class PrivateTraining(Defense):
    """DP-SGD (Abadi et al. 2016); the strength is the noise multiplier σ.

    Each sample's gradient is clipped to the L2 norm of `registry.PrivateConfig`, the sum gets
    Gaussian noise of σ times that, and Adam takes the step, at a multiple of the learning rate.
    Removed weights leave the gradient before it is clipped and use up nothing of the norm.
    BatchNorm, which mixes samples, is frozen. Of s Poisson batches per epoch each has every sample
    with probability 1/s, as the accountant (Rényi, Opacus) assumes; one may be empty. ε counts
    every step, also after the epoch kept, and those of `Job.spent`.
    """

    one_by_one = True

    def start(self, run: Run) -> None:
        from opacus.accountants import RDPAccountant
        from opacus.grad_sample import GradSampleModule
        from opacus.optimizers import DPOptimizer

        job = run.jobs[0]
        run.networks = _Private([job.module], run.generators)
        self.steps = len(run.cuts)
        self.frozen = []
        try:
            for place, layer in job.module.named_modules():
                if isinstance(layer, _BatchNorm):
                    if layer.running_mean is None:
                        raise NotImplementedError(
                            f"layer {place!r} always normalizes by the batch; give it running "
                            f"statistics, or choose another defense"
                        )
                    self.frozen += list(layer.parameters())
            for parameter in self.frozen:  # before Opacus looks for what learns
                parameter.requires_grad_(False)
            self.hooks = GradSampleModule(job.module)
        except NotImplementedError as error:
            sentence = f"{job.name}: defense 'dp' cannot take this network: {error}"
            raise TrainingError(sentence) from error
        self.accountant = RDPAccountant()
        self.accountant.history = [tuple(steps) for steps in job.spent]
        self.caveat = WHOLE if job.spent or job.masks is None else CAVEAT
        for group in run.optimizer.param_groups:
            group["lr"] *= run.settings.private.rate
        noise = torch.Generator(run.train.device).manual_seed(seed_of(job.seed, "noise"))
        run.optimizer = DPOptimizer(
            run.optimizer,
            noise_multiplier=self.strength,
            max_grad_norm=run.settings.private.clip,
            expected_batch_size=run.train.shape[1] / self.steps,
            generator=noise,
        )

    def batches(self, run: Run) -> Iterator[Tensor]:
        """Yield Poisson samples of the training samples, shape (1, b), and account for each."""
        members = run.train[0]
        rate = 1 / self.steps
        for _ in range(self.steps):
            draws = torch.rand(len(members), generator=run.generators[0], device=members.device)
            self.accountant.step(noise_multiplier=self.strength, sample_rate=rate)
            yield members[draws < rate][None]

    @torch.no_grad()
    def differentiated(self, run: Run) -> None:
        """Take the removed weights out of each sample's gradient, before Opacus clips it."""
        for name, mask in run.masks.items():
            parameter = run.networks.parameters[name]
            if parameter.requires_grad:  # a frozen scale of BatchNorm has no gradient
                parameter.grad_sample.mul_(mask)  # type: ignore[attr-defined]  # set by Opacus

    def finish(self, run: Run) -> dict[str, Any]:
        self.hooks.to_standard_module()
        for parameter in self.frozen:
            parameter.requires_grad_(True)
        return {
            "epsilon": self.accountant.get_epsilon(DELTA, alphas=ORDERS),
            "delta": DELTA,
            "caveat": self.caveat,
            "spent": self.accountant.history,
        }


class _Private(Alone):
    """One network whose BatchNorm layers stay in evaluation mode."""

    def __call__(self, x: Tensor) -> Tensor:
        # An input without gradients would make torch warn of Opacus' hooks on the first layer.
        return super().__call__(x.requires_grad_(self.module.training))

    def train(self, mode: bool) -> None:
        super().train(mode)
        for layer in self.module.modules():
            if isinstance(layer, _BatchNorm):
                layer.eval()
