"""Defenses that change what is minimized, or which epoch is kept; the last two train helpers."""

import copy
from collections.abc import Iterator
from dataclasses import replace

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from prunemia.experiment import seed_of
from prunemia.training import Defense, Job, Run, fit
from prunemia.training.stacking import Stack


class EarlyStopping(Defense):
    """Stop at the best validation loss, even in the warm-up (Yuan & Zhang 2022, section 7)."""

    keeps_early = True

    def score(self, accuracy: float, loss: float) -> float:
        return -loss


def ppb_divergence(logits: Tensor) -> Tensor:
    """Return PPB's Kullback–Leibler term of logits (…, B, C), without strength: (…), nats, ≥ 0.

    With h = ⌊B/2⌋, each sample's logits in descending order, z′ the first h samples and z″ the next
    h: (1/h) Σᵢ KL(softmax(zᵢ″) ‖ softmax(zᵢ′)), with gradients through both. An odd batch's last is
    left out; one sample gives 0. Source: Yuan & Zhang (2022), section 7.1, and its code (order).
    """
    if logits.ndim < 2:
        raise ValueError(f"logits: shape {tuple(logits.shape)}; allowed: (B, C), or (…, B, C)")
    half = logits.shape[-2] // 2
    ranked = logits.sort(dim=-1, descending=True).values.log_softmax(dim=-1)
    first, second = ranked[..., :half, :], ranked[..., half : 2 * half, :]
    return (second.exp() * (second - first)).sum(dim=(-2, -1)) / max(half, 1)


class PosteriorAlignment(Defense):
    """PPB, strength λ: cross-entropy + λ · `ppb_divergence` (Yuan & Zhang 2022, section 7.1)."""

    recordable = True

    def penalty(self, run: Run, x: Tensor, labels: Tensor, logits: Tensor) -> Tensor:
        return self.strength * ppb_divergence(logits)


def flattened(logits: Tensor, labels: Tensor) -> Tensor:
    """Return soft labels that flatten posteriors, (…, C), of logits (…, C) and labels (…).

    The true class keeps its probability p, the others get (1 − p) / (C − 1), without a gradient.
    Source: Chen, Yu & Fritz (2022), equation 5.
    """
    own = F.one_hot(labels, logits.shape[-1])
    posteriors = logits.detach().softmax(dim=-1)
    sure = (posteriors * own).sum(dim=-1, keepdim=True)
    return torch.where(own.bool(), sure, (1 - sure) / (logits.shape[-1] - 1))


class RelaxLoss(Defense):
    """RelaxLoss; the strength is the target ω of a batch's mean cross-entropy, in nats.

    Above ω a step descends on cross-entropy; below, it ascends in even epochs (from 0), and in odd
    ones descends with `flattened` labels, which levels wrong classes and keeps the prediction.
    Source: Chen, Yu & Fritz (2022), algorithm 1, without the ascent on right answers of their code.
    """

    def loss(self, run: Run, x: Tensor, labels: Tensor, logits: Tensor, each: Tensor) -> Tensor:
        means = each.mean(dim=1)
        if run.epoch % 2 == 0:
            return (means - self.strength).abs()
        ranked = logits.log_softmax(dim=2)
        flat = -(flattened(logits, labels) * ranked).sum(dim=2).mean(dim=1)
        return torch.where(means.detach() > self.strength, means, flat)


class Distillation(Defense):
    """Distillation for membership privacy; the strength is the temperature T.

    Fine-tuning never sees a member: it minimizes T² · KL(softmax(t / T) ‖ softmax(z / T)), t the
    unpruned original's logits and z the network's, on validation samples, the only ones that are
    neither members nor judged as non-members. Source: Shejwalkar & Houmansadr (2021), who distill
    into a fresh network on reference data; T² as Hinton, Vinyals & Dean (2015).
    """

    needs_original = True

    @torch.no_grad()
    def start(self, run: Run) -> None:
        teachers = []
        for job, samples in zip(run.jobs, run.validation, strict=True):
            assert job.original is not None
            teachers.append(job.original.to(samples.device).eval()(run.features[samples]))
        self.answers = torch.stack(teachers)  # (jobs, samples, C)

    def batches(self, run: Run) -> Iterator[Tensor]:
        """Yield as many batches of validation samples as an epoch has of members."""
        device, count = run.validation.device, run.validation.shape[1]
        needed = run.cuts[-1][1]
        orders, turns = [], range(-(-needed // count))
        for draw in [run.generators[i] for i in run.active]:
            # one shuffle of the samples after the other, cut to what an epoch needs
            shuffles = [torch.randperm(count, generator=draw, device=device) for _ in turns]
            orders.append(torch.cat(shuffles)[:needed])
        order = torch.stack(orders)
        samples = run.validation[run.active].gather(1, order)
        answers = self.answers[run.active]
        for start, stop in run.cuts:
            places = order[:, start:stop, None].expand(-1, -1, answers.shape[2])
            self.taught = answers.gather(1, places)
            yield samples[:, start:stop]

    def loss(self, run: Run, x: Tensor, labels: Tensor, logits: Tensor, each: Tensor) -> Tensor:
        taught = (self.taught / self.strength).log_softmax(dim=2)
        learned = (logits / self.strength).log_softmax(dim=2)
        divergence = F.kl_div(learned, taught, log_target=True, reduction="none").sum(dim=2)
        return self.strength**2 * divergence.mean(dim=1)


class AdversarialRegularization(Defense):
    """A min-max game, both players moving once per batch; the strength is α.

    An inference network h reads a posterior and its one-hot label and maximizes mean log h(members)
    + mean log(1 − h(non-members)), over the batch and as many validation samples; the network
    minimizes cross-entropy + α · mean log h(members). Source: Nasr, Shokri & Houmansadr (2018),
    algorithm 1; single steps and one tower are ours.
    """

    def start(self, run: Run) -> None:
        device = run.train.device
        seeds = [seed_of(job.seed, "inference network") for job in run.jobs]
        with torch.no_grad():
            run.networks.train(False)
            classes = run.networks(run.features[run.train[:, :1]]).shape[2]
        modules = []
        wide, narrow = 256, 64  # Nasr et al. use two towers of up to 1,024 units, on more data
        for seed in seeds:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                first, second = nn.Linear(2 * classes, wide), nn.Linear(wide, narrow)
                last = nn.Linear(narrow, 1)
            network = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), last)
            modules.append(network.to(device))
        generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        self.inference = Stack(modules, generators)
        self.optimizer = torch.optim.Adam(self.inference.parameters.values(), lr=1e-3)

    def penalty(self, run: Run, x: Tensor, labels: Tensor, logits: Tensor) -> Tensor:
        """Let the inference networks move, then return α times their gain on the members."""
        candidates = run.validation[run.active]
        drawn = [
            torch.randint(candidates.shape[1], labels.shape[1:], generator=g, device=x.device)
            for g in self.inference.generators
        ]
        nonmembers = candidates.gather(1, torch.stack(drawn))
        with torch.no_grad():
            run.networks.train(False)
            answers = run.networks(torch.cat([x, run.features[nonmembers]], dim=1))
            run.networks.train(True)
        self.learn(answers, torch.cat([labels, run.labels[nonmembers]], dim=1))
        # The network's own move: its gradient goes through the logits in training mode.
        return self.strength * F.logsigmoid(self._guess(logits, labels)).mean(dim=1)

    def learn(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Move once, members in the first half of the samples; return losses, (M,), in nats."""
        guess = self._guess(logits, labels)
        members, nonmembers = guess.chunk(2, dim=1)
        losses = -F.logsigmoid(members).mean(dim=1) - F.logsigmoid(-nonmembers).mean(dim=1)
        self.optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        self.optimizer.step()
        return losses.detach()

    def keep(self, slots: list[int]) -> None:
        self.inference.keep(slots, self.optimizer)

    def _guess(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the inference networks' logits that a sample is a member, shape (M, b)."""
        one_hot = F.one_hot(labels, logits.shape[2])
        return self.inference(torch.cat([logits.softmax(dim=2), one_hot], dim=2)).squeeze(2)


def weights(unseen: Tensor, strength: float) -> Tensor:
    """Return the members' weights, (…, n), of mean 1: proportional to exp(−s · (1 − p)).

    ``unseen``, (…, n): p, the true class's probability from a network not trained on the sample.
    """
    raw = (-strength * (1 - unseen)).exp()
    return raw / raw.mean(dim=-1, keepdim=True)


class MemorizationWeighting(Defense):
    """Cross-entropy, each member weighted by `weights`; the strength is s.

    Two helper networks of the same kind, each trained anew on one half of the members for as many
    epochs as fine-tuning may take, give the other half its p. Source: after WeMem (Shang et al.
    2025), which holds memorized members back while pruning; weights and estimate are ours.
    """

    def start(self, run: Run) -> None:
        half = run.train.shape[1] // 2
        first, rest = run.train[:, :half], run.train[:, half:]
        unseen = torch.zeros(len(run.jobs), len(run.labels), device=run.train.device)
        for side, (members, others) in enumerate([(first, rest), (rest[:, :half], first)]):
            helpers = [_helper(job, members[i], side) for i, job in enumerate(run.jobs)]
            fit(helpers, run.features, run.labels, replace(run.settings, keeps_last=True))
            for i, helper in enumerate(helpers):
                unseen[i, others[i]] = _true_class(helper, run, others[i])
        own = weights(unseen.gather(1, run.train), self.strength)
        self.weights = torch.ones_like(unseen).scatter(1, run.train, own)

    def loss(self, run: Run, x: Tensor, labels: Tensor, logits: Tensor, each: Tensor) -> Tensor:
        return (self.weights[run.active].gather(1, run.batch) * each).mean(dim=1)


def _helper(job: Job, half: Tensor, side: int) -> Job:
    seed = seed_of(job.seed, "helper network", side)
    module = copy.deepcopy(job.module)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in module.modules():
            if callable(reset := getattr(layer, "reset_parameters", None)):
                reset()
    return Job(f"helper of {job.name}", module, half, job.validation, job.test, seed)


@torch.no_grad()
def _true_class(helper: Job, run: Run, samples: Tensor) -> Tensor:
    posteriors: Tensor = helper.module.eval()(run.features[samples]).softmax(dim=1)
    return posteriors.gather(1, run.labels[samples][:, None])[:, 0]
