from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar, get_args

import numpy as np

from mimar.errors import UnknownNameError
from mimar.llm import LLM, Usage
from mimar.objectives import losses
from mimar.pareto import RunningFront
from mimar.strategy._archive import Archive
from mimar.strategy._instructions import Instructions, Parent
from mimar.strategy._niched import NicheArchive
from mimar.strategy._niches import describe_niche
from mimar.strategy._prompts import Brief, Prompts, bullet_list, rejection_list
from mimar.strategy._proposer import Batch, Proposer, Request, object_schema, total
from mimar.strategy._protocol import Problem
from mimar.strategy._traits import Traits
from mimar.trial import Trial

A = TypeVar("A")

Arm = Literal["coevolution", "llm-only", "prompt-only", "sequential"]
ARMS: tuple[Arm, ...] = get_args(Arm)

RULES = 4
"""Positive and negative rules of a niche, at most."""

REWRITE = 4
"""Calls for candidates between two new instructions."""

REWRITES = 3
"""New instructions that the sequential arm writes and tries before it leaves them as they are."""


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Design rules of one niche, in an LLM's words. learnt: members of the niche that they were drawn from."""

    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    learnt: int = 0


class PELNAS(Generic[A]):
    """PEL-NAS: niches by complexity, a knowledge base for each, and a population of prompts that evolves alongside.

    Niches take turns. A turn updates the niche's rules by its results (first call), then asks for crossover or mutation
    of its Pareto parents under those rules (second call). What lands in another niche joins that one. An instruction
    opens the prompt; its fitness, with each parent, is the hypervolume that designs made under it gained per token, and
    every few calls the LLM writes a new one from the fittest, in place of the least fit.

    arm: ``coevolution`` evolves both; ``llm-only`` keeps one instruction; ``prompt-only`` shows no parents;
    ``sequential`` first evolves instructions without parents, then designs under the fittest. knowledge: False keeps
    the rules empty.
    """

    name = "pel-nas"
    traits = Traits(hardware_aware=True, reflection=True, llm="needed")
    initial = 12

    def __init__(
        self,
        problem: Problem[A],
        llm: LLM,
        brief: Brief,
        *,
        arm: str = "coevolution",
        batch: int = 8,
        knowledge: bool = True,
        seed: int = 0,
    ) -> None:
        if arm not in ARMS:
            raise UnknownNameError("arm of pel-nas", arm, ARMS)
        self._arm = arm
        self._objectives = problem.objectives
        self._prompts = Prompts(problem, brief)
        self._proposer = Proposer(problem, llm, self._prompts.view, f"llm-{self.name}")
        self._kept: NicheArchive[A] = NicheArchive(problem, seed)
        self._knows = knowledge
        self._knowledge = [Knowledge()] * self._kept.count
        self._front = RunningFront(problem.reference)
        self._instructions = Instructions(self._prompts.fixed("instructions").split("\n\n"))
        self._calls = 0
        self._rewrites = 0
        self._outside = ""
        self._used: tuple[tuple[Parent, str], int] | None = None
        self.batch = batch

    def propose(self, archive: Archive[A], count: int, rng: np.random.Generator) -> Batch[A]:
        """As `Operator.propose`: one turn of the next niche."""
        self._credit(0.0)  # of a call whose candidates were all rejected nobody is told
        niche = self._calls % self._kept.count
        self._calls += 1  # a call that fails must not hold the others up
        spent = [self._rewrite(rng), self._update(niche, rng)]
        pair, parents = self._chosen(niche, rng)
        request = self._request(niche, pair[1], parents, count, rng)
        batch = self._proposer.propose(request, archive, rng)
        spent.append(batch.usage)
        usage = total(*spent)
        self._used = pair, usage.input_tokens + usage.output_tokens
        self._outside = self._strays(niche, batch)
        return Batch(batch.proposals, usage)

    def learn(self, trials: Sequence[Trial[A]]) -> None:
        """Let the trials join their niches and credit the last instruction and parent with what they gained."""
        done = [trial for trial in trials if trial.status == "complete"]
        self._kept.add(done)
        gained = 0.0
        for trial, point in zip(done, losses([trial.metrics for trial in done], self._objectives), strict=True):
            gain = self._front.add(point)
            gained += gain if trial.proposal.origin == f"llm-{self.name}" else 0.0
        self._credit(gained)

    def _credit(self, gained: float) -> None:
        """What the last call gained, to its instruction and parent."""
        if self._used is not None:
            self._instructions.credit(self._used[0], gained, self._used[1])
            self._used = None

    @property
    def _prompts_evolve(self) -> bool:
        first = self._calls <= REWRITE * (REWRITES + 1)
        return self._arm in ("coevolution", "prompt-only") or (self._arm == "sequential" and first)

    @property
    def _has_parents(self) -> bool:
        return self._arm != "prompt-only" and not (self._arm == "sequential" and self._prompts_evolve)

    def _chosen(self, niche: int, rng: np.random.Generator) -> tuple[tuple[Parent, str], list[Trial[A]]]:
        """First parent and instruction, by their fitness together, and the parents to show: two for a crossover.

        An empty niche borrows its parents from the nearest that has some.
        """
        near = self._kept.front(self._kept.nearest(niche)) if self._has_parents else []
        front = [trial for trial in near if self._prompts.view.brief(trial.architecture) is not None]
        ids: list[Parent] = [trial.id for trial in front] or [None]
        if self._prompts_evolve:
            pair = self._instructions.pick(ids, rng)
        else:
            kept = self._instructions.texts if self._arm == "llm-only" else self._instructions.ranked()
            pair = ids[int(rng.integers(len(ids)))], kept[0]
        parents = [trial for trial in front if trial.id == pair[0]]
        others = [trial for trial in front if trial.id != pair[0]]
        if others and rng.random() < 0.5:
            parents.append(others[int(rng.integers(len(others)))])
        return pair, parents

    def _request(
        self, niche: int, instruction: str, parents: Sequence[Trial[A]], count: int, rng: np.random.Generator
    ) -> Request:
        operations = ("", "Mutate the parent: change one to three of its fields in each.", "Cross the two parents.")
        parts = {
            "instruction": instruction,
            "count": count,
            "niche": self._described(niche),
            "task": self._prompts.task(rng),
            "device": self._prompts.device(),
            "parents": self._prompts.table(parents, "Parents"),
            "rules_learnt": self._rules(niche),
            "rejections": "\n".join(filter(None, (rejection_list(self._proposer.rejections), self._outside))),
            "operation": operations[len(parents)],
        }
        messages = self._prompts.messages("niche", parts)
        return Request(messages, count, rationale=True, parents=tuple(parent.id for parent in parents))

    def _described(self, niche: int) -> str:
        return self._prompts.view.text(describe_niche(self._kept.ranges(niche)))

    def _rules(self, niche: int) -> str:
        known = self._knowledge[niche]
        lists = bullet_list("Do", known.positive), bullet_list("Avoid", known.negative)
        return "\n".join(filter(None, lists))

    def _strays(self, niche: int, batch: Batch[A]) -> str:
        """What to say of good candidates that lie elsewhere."""
        good = [proposal.architecture for proposal in batch.proposals if not proposal.reasons]
        outside = sum(arch is not None and self._kept.of(arch) != niche for arch in good)
        return f"{outside} of {len(good)} proposals of the last call lay outside their niche." if outside else ""

    def _update(self, niche: int, rng: np.random.Generator) -> Usage:
        """The rules of a niche, updated where it has new members."""
        members, known = self._kept.members[niche], self._knowledge[niche]
        if not self._knows or len(members) == known.learnt or len(members) < 2:
            return Usage()
        best = self._prompts.best(self._kept.front(niche))
        if not best:
            return Usage()
        parts = {
            "niche": self._described(niche),
            "goal": self._prompts.goal(),
            "rules_learnt": self._rules(niche),
            "best": self._prompts.table(best, "The best of the niche"),
            "worst": self._prompts.table(self._prompts.worst(members), "The poorest of the niche"),
            "most": RULES,
        }
        sentences = {"type": "array", "items": {"type": "string", "maxLength": 200}, "maxItems": RULES}
        schema = object_schema({"positive": sentences, "negative": sentences})
        answer, usage = self._proposer.consult(self._prompts.messages("knowledge", parts), schema, rng)
        rules = (known.positive, known.negative) if answer is None else (answer["positive"], answer["negative"])
        self._knowledge[niche] = Knowledge(tuple(rules[0]), tuple(rules[1]), len(members))
        return usage

    def _rewrite(self, rng: np.random.Generator) -> Usage:
        """A new instruction, every few calls."""
        due = (self._calls - 1) // REWRITE
        if not self._prompts_evolve or self._rewrites >= due:
            return Usage()
        self._rewrites = due
        ranked = self._instructions.ranked()
        listed = [f"- gain {self._instructions.fitness(text):.4f}: {text}" for text in ranked]
        parts = {"instructions": "\n".join(listed)}
        schema = object_schema({"instruction": {"type": "string", "maxLength": 600}})
        answer, usage = self._proposer.consult(self._prompts.messages("rewrite", parts), schema, rng)
        if answer is not None:
            self._instructions.admit(str(answer["instruction"]).strip())
        return usage
