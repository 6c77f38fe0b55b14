"""The parts that LLM strategies are made of, each by itself."""

import json

import numpy as np
import pytest

from mimar.errors import CostLimitError, InputError, ProviderError, UnknownNameError
from mimar.objectives import Objective
from mimar.pareto import Reference
from mimar.space import ProductSpace, TransformerSpace
from mimar.strategy import (
    PELNAS,
    Archive,
    Axis,
    Brief,
    Dialogue,
    Instructions,
    LLMSearch,
    NichedEvolution,
    Niches,
    OneShot,
    Problem,
    RZNASMutation,
    Started,
    View,
    ZeroLM,
)
from mimar.study import Study
from mimar.testing import PlantedLLM, ScriptedLLM, layerdrop_problem, toy_problem

DROP = layerdrop_problem()
TOY = toy_problem()
BRIEF = Brief("none", "A test bench.")


def counted(edges=()):
    """Ten switches; the axis counts those that are on."""
    space = ProductSpace({f"s{index}": (0, 1) for index in range(10)})
    return Problem(
        space,
        (Objective("on", "min"), Objective("off", "min")),
        space.validate,
        lambda arch: 0.0,
        lambda arch: {},
        Reference((10.0, 10.0), (0.0, 0.0)),
        axes=(Axis("on", lambda arch: float(sum(arch)), len(edges) + 1 if edges else 4, edges),),
    )


def test_a_value_on_an_edge_belongs_to_the_cell_above():
    niches = Niches(counted((2.0, 5.0)), 0)
    assert niches.count == 3
    assert [niches.of((1,) * on + (0,) * (10 - on)) for on in (0, 1, 2, 4, 5, 10)] == [0, 0, 1, 1, 2, 2]
    assert niches.ranges(1) == [("on", 2.0, 5.0)]
    assert niches.ranges(0) == [("on", -np.inf, 2.0)]


def test_cells_without_edges_are_about_equally_full():
    problem = counted()
    niches, rng = Niches(problem, 0), np.random.default_rng(1)
    counts = np.bincount([niches.of(problem.space.sample(rng)) for _ in range(2000)], minlength=niches.count)
    assert niches.count >= 3
    assert counts.min() > 0.3 * counts.mean()


def test_two_axes_make_a_grid_whose_ranges_hold_what_lies_in_them():
    niches, rng = Niches(TOY.problem, 0), np.random.default_rng(0)
    assert niches.count == 6
    for _ in range(50):
        arch = TOY.problem.space.sample(rng)
        for (name, low, high), axis in zip(niches.ranges(niches.of(arch)), TOY.problem.axes, strict=True):
            assert name == axis.name
            assert low <= axis.value(arch) < high


def test_a_problem_without_axes_is_one_niche():
    problem = ProductSpace({"a": (0, 1)})
    niches = Niches(Problem(problem, (), problem.validate, lambda _: 0.0, lambda _: {}, Reference((), ())), 0)
    assert niches.count == 1
    assert niches.of((0,)) == 0
    assert niches.ranges(0) == []


def test_niches_fill_evenly_and_one_niche_does_not():
    def fullest(partition):
        study = Study(DROP.problem, NichedEvolution(DROP.problem, 0, partition=partition), DROP)
        study.run(200)
        cells = [Niches(DROP.problem, 0).of(trial.architecture) for trial in study.trials[16:]]
        return np.bincount(cells).max() / len(cells)

    assert fullest(True) < fullest(False)


def test_instructions_are_kept_by_their_gain_per_token():
    instructions = Instructions(["good", "dear", "idle"])
    instructions.credit((None, "good"), gain=1.0, tokens=1000)
    instructions.credit((None, "dear"), gain=1.0, tokens=9000)
    assert instructions.ranked() == ["good", "idle", "dear"]
    instructions.admit("new")
    assert instructions.texts == ["good", "new", "idle"]
    instructions.admit("good")
    assert instructions.texts == ["good", "new", "idle"]


def test_a_pair_of_parent_and_instruction_has_a_fitness_of_its_own():
    instructions = Instructions(["a", "b"])
    for parent, gain in ((1, 2.0), (2, 0.0)):
        instructions.credit((parent, "a"), gain, 2000)
    assert instructions.fitness("a", 1) > instructions.fitness("a") > instructions.fitness("a", 2)
    rng = np.random.default_rng(0)
    picks = [instructions.pick([1, 2], rng) for _ in range(200)]
    assert picks.count((1, "a")) > 2 * picks.count((2, "a"))


def test_an_unknown_arm_is_named():
    with pytest.raises(UnknownNameError, match="prompt-only"):
        PELNAS(DROP.problem, ScriptedLLM([]), BRIEF, arm="both")


def test_neutral_names_go_both_ways():
    space, rng = TransformerSpace(), np.random.default_rng(0)
    plain, view = (View(toy_problem(space).problem, anonymous=anonymous) for anonymous in (False, True))
    for _ in range(100):
        arch = space.sample(rng)
        assert view.show(arch) != plain.show(arch)
        assert view.read(json.loads(view.show(arch))) == plain.read(json.loads(plain.show(arch)))
    assert view.text("num_layers must be at most 32, quality is high") == "x1 must be at most 32, y1 is high"


def test_one_shot_is_one_call():
    llm = PlantedLLM(DROP)
    calls = []
    listening = ScriptedLLM(lambda *told: calls.append(told) or llm._answer(*told))
    study = Study(DROP.problem, LLMSearch(DROP.problem, 0, OneShot(DROP.problem, listening, BRIEF)), DROP)
    assert study.run(50) == "nothing new found"
    assert len(calls) == 1
    assert len(study.trials) == 20


def test_a_dialogue_grows_until_its_window_is_full_and_keeps_its_opening():
    chats = []

    def answer(messages, schema, seed):
        chats.append(messages)
        rng = np.random.default_rng(seed)
        return json.dumps(
            {"candidates": [DROP.problem.space.to_json(DROP.problem.space.sample(rng)) for _ in range(8)]}
        )

    study = Study(DROP.problem, LLMSearch(DROP.problem, 0, Dialogue(DROP.problem, ScriptedLLM(answer), BRIEF)), DROP)
    study.run(120)
    lengths = [len(chat) for chat in chats]
    assert lengths[:3] == [2, 4, 6]
    assert lengths[-1] < 2 * len(chats)
    for chat in chats:
        assert [message.role for message in chat] == ["system", *(["user", "assistant"] * len(chat))[: len(chat) - 1]]
        assert chat[1] == chats[0][1]
        assert chat[-1].content.count("Best so far") == (len(chat) > 2)


def test_a_dialogue_begins_with_the_users_own_architecture():
    start = DROP.problem.space.sample(np.random.default_rng(5))
    operator = Dialogue(DROP.problem, ScriptedLLM([]), BRIEF, start=start)
    batch = operator.propose(Archive(DROP.problem.objectives), 8, np.random.default_rng(0))
    assert [(proposal.architecture, proposal.origin) for proposal in batch.proposals] == [(start, "start")]


def test_a_start_that_was_evaluated_already_is_not_proposed_again():
    start = DROP.problem.space.sample(np.random.default_rng(5))
    llm, _ = answering()
    dialogue = LLMSearch(DROP.problem, 0, Dialogue(DROP.problem, llm, BRIEF, start=start))
    study = Study(DROP.problem, Started(dialogue, DROP.problem, (start,), 0), DROP)
    study.run(8)
    assert [trial.architecture for trial in study.trials].count(start) == 1


def test_a_mutation_is_reflected_on_once_beside_its_own_parent():
    """Though an ask proposes several times where candidates are rejected."""
    space, asked = DROP.problem.space, []

    def answer(messages, schema, seed):
        text = messages[-1].content
        asked.append((sorted(schema["properties"]), text))
        if "candidates" not in schema["properties"]:
            return json.dumps({"suggestion": "wider"})
        good = space.to_json(space.sample(np.random.default_rng(seed)))
        return json.dumps({"candidates": [good if seed % 3 == 0 else {**good, "layer_0": 9}]})

    operator = RZNASMutation(DROP.problem, ScriptedLLM(answer), BRIEF)
    study = Study(DROP.problem, LLMSearch(DROP.problem, 0, operator), DROP)
    study.run(20)
    reflections = [text for fields, text in asked if fields == ["suggestion"]]
    assert len(set(reflections)) == len(reflections) > 3
    show = operator._prompts.view.show
    proposed = [trial.proposal for trial in study.trials if trial.proposal.parents]
    pairs = [
        (
            show(study.trials[each.parents[0]].architecture),
            each.note if each.architecture is None else show(each.architecture),
        )
        for each in proposed
    ]
    for text in reflections:
        assert any(before in text and after in text for before, after in pairs)


def test_a_start_over_budget_is_talked_about_with_its_reasons():
    toy, said = layerdrop_problem(max_cost=0.5), []

    def answer(messages, schema, seed):
        said.append(messages[-1].content)
        return json.dumps({"candidates": [toy.problem.space.to_json((1,) * 20)]})

    operator = Dialogue(toy.problem, ScriptedLLM(answer), BRIEF, start=(4,) * 20)
    Study(toy.problem, LLMSearch(toy.problem, 0, operator), toy, batch=1).run(1)
    assert "does not do yet (over budget: cost must be at most 0.5, got 1)" in said[0]


def answering(fails=lambda call: False, words="wider"):
    """Random candidates, or `words`; calls whose number `fails` end without a reply. Its `asked` has every question."""

    def answer(messages, schema, seed):
        asked.append((sorted(schema["properties"]), messages[-1].content))
        if fails(len(asked)):
            raise ProviderError("HTTP 503 of secret-host")
        fields, space, rng = schema["properties"], DROP.problem.space, np.random.default_rng(seed)
        said = {name: [words] if rule["type"] == "array" else words for name, rule in fields.items()}
        count = fields.get("candidates", {"minItems": 0})["minItems"]
        candidates = [space.to_json(space.sample(rng)) for _ in range(count)]
        return json.dumps(said | ({"candidates": candidates} if count else {}))

    asked = []
    llm = ScriptedLLM(answer)
    return llm, asked


def test_a_failed_call_neither_holds_a_niche_up_nor_buys_an_instruction_twice():
    llm, asked = answering(lambda call: call in (9, 10, 11, 12))
    operator = PELNAS(DROP.problem, llm, BRIEF, knowledge=False)
    Study(DROP.problem, LLMSearch(DROP.problem, 0, operator), DROP).run(90)
    rewrites = [call for call, (fields, _) in enumerate(asked, 1) if fields == ["instruction"]]
    assert len(rewrites) <= (len(asked) + 3) // 4
    prompts = [text for fields, text in asked if "candidates" in fields]
    niches = [text.partition("one niche of the search: ")[2].partition("\n")[0] for text in prompts]
    assert len(set(niches[:6])) == 6


def test_an_instruction_pays_for_calls_whose_candidates_were_all_rejected():
    """Though an ask goes on to the next call, and nobody is told of the first alone."""
    calls = []

    def answer(messages, schema, seed):
        calls.append(len(messages[-1].content))
        return json.dumps({"rationale": "", "candidates": [{"layer_0": 9}] * 8})

    operator = PELNAS(DROP.problem, ScriptedLLM(answer), BRIEF, knowledge=False)
    Study(DROP.problem, LLMSearch(DROP.problem, 0, operator), DROP).run(13)
    spent = [each.tokens for each in operator._instructions._by_text.values()]
    assert len(calls) >= 2
    assert sum(spent) * 1000 == pytest.approx(sum(calls) / 4, rel=0.3)


def test_what_was_rejected_is_told_before_a_search_ends_for_want_of_money():
    def answer(messages, schema, seed):
        told.append(messages)
        if len(told) > 1:
            raise CostLimitError("the limit of $0.01 is reached")
        return json.dumps({"candidates": [{"layer_0": 9}] * 3})

    told = []
    search = LLMSearch(DROP.problem, 0, ZeroLM(DROP.problem, ScriptedLLM(answer), BRIEF, batch=3))
    study = Study(DROP.problem, search, DROP)
    with pytest.raises(CostLimitError):
        study.run(40)
    rejected = [trial for trial in study.trials if trial.status == "invalid"]
    assert len(rejected) == 3
    assert "Earlier proposals were rejected because" in told[-1][-1].content


def test_words_that_cannot_be_encoded_do_not_come_back_in_prompts():
    llm, asked = answering(words="wide \ud83d")
    Study(DROP.problem, LLMSearch(DROP.problem, 0, PELNAS(DROP.problem, llm, BRIEF)), DROP).run(60)
    assert any("wide ?" in text for _, text in asked)
    for _, text in asked:
        text.encode()


def test_a_dialogue_goes_on_where_a_failed_call_left_it():
    llm, asked = answering(lambda call: call == 2)
    Study(DROP.problem, LLMSearch(DROP.problem, 0, Dialogue(DROP.problem, llm, BRIEF)), DROP).run(24)
    failed, again = asked[1][1], asked[2][1]
    assert "Results of your last proposals:\ntrade-off" in failed
    assert again == failed


def test_a_mutation_is_never_reflected_on_where_the_call_for_it_failed():
    llm, asked = answering(lambda call: call in (3, 7))
    Study(DROP.problem, LLMSearch(DROP.problem, 0, RZNASMutation(DROP.problem, llm, BRIEF)), DROP).run(16)
    assert not any("secret-host" in text for _, text in asked)


def test_many_rejected_mutations_in_a_row_do_not_end_a_search():
    def mostly_illegal(messages, schema, seed):
        if "candidates" not in schema["properties"]:
            return json.dumps({"suggestion": "wider"})
        space = DROP.problem.space
        good = space.to_json(space.sample(np.random.default_rng(seed)))
        return json.dumps({"candidates": [good if seed % 12 == 0 else {**good, "layer_0": 9}]})

    operator = RZNASMutation(DROP.problem, ScriptedLLM(mostly_illegal), BRIEF)
    assert Study(DROP.problem, LLMSearch(DROP.problem, 0, operator), DROP).run(24) == "enough trials"


def test_sequential_tries_every_instruction_that_it_writes():
    numbers = iter(range(100))
    llm, asked = answering()
    counting = ScriptedLLM(
        lambda messages, schema, seed: (
            json.dumps({"instruction": f"Idea {next(numbers)}."})
            if list(schema["properties"]) == ["instruction"]
            else llm._script(messages, schema, seed)
        )
    )
    operator = PELNAS(DROP.problem, counting, BRIEF, arm="sequential", knowledge=False)
    Study(DROP.problem, LLMSearch(DROP.problem, 0, operator), DROP).run(12 + 8 * 20)
    assert next(numbers) == 3
    opened = {text.partition("\n")[0] for fields, text in asked if "candidates" in fields}
    assert len({f"Idea {number}." for number in range(3)} & opened) >= 2


def test_absurdly_nested_candidates_are_rejected_under_neutral_names_too():
    text = '{"candidates":[' + "[" * 900 + "]" * 900 + "]}"
    operator = ZeroLM(DROP.problem, ScriptedLLM([text]), Brief("none", "d", anonymous=True))
    (proposal,) = operator.propose(Archive(DROP.problem.objectives), 8, np.random.default_rng(0)).proposals
    assert proposal.reasons


def test_neutral_names_leave_the_keywords_of_a_schema_alone():
    space = ProductSpace({"type": ("object", "string"), "items": (1, 2), "enum": ("a",)})
    problem = Problem(
        space, (Objective("loss", "min"),), space.validate, lambda _: 0.0, lambda _: {}, Reference((1.0,), (0.0,))
    )
    view = View(problem, anonymous=True)
    assert view.schema() == {
        "type": "object",
        "properties": {"x1": {"enum": ["c1", "c2"]}, "x2": {"enum": [1, 2]}, "x3": {"enum": ["c3"]}},
        "required": ["x1", "x2", "x3"],
        "additionalProperties": False,
    }
    assert view.read({"x1": "c2", "x2": 2, "x3": "c3"}) == ("string", 2, "a")


def test_a_reason_that_would_tell_what_is_designed_is_not_repeated_under_neutral_names():
    view = View(TOY.problem, anonymous=True)
    assert view.reason("num_heads must be at most 32, got 40") == "x4 must be at most 32, got 40"
    told = view.reason("position rope needs a layer with softmax attention; use sinusoidal or none")
    assert told == "it breaks a rule that is not stated"


def test_per_layer_architectures_are_shown_only_where_they_can_be_answered():
    """Samples of a per-layer space whose layers differ have no short form: none is offered as a parent."""
    toy, chats = toy_problem(TransformerSpace("per-layer")), []

    def answer(messages, schema, seed):
        chats.append(messages[-1].content)
        return json.dumps(dict.fromkeys(schema["properties"], "x") | {"candidates": []})

    operator = PELNAS(toy.problem, ScriptedLLM(answer), BRIEF, knowledge=False)
    Study(toy.problem, LLMSearch(toy.problem, 0, operator), toy).run(14)
    assert chats
    for text in chats:
        assert ("Mutate the parent" in text or "Cross the two" in text) == ("Parents:\n" in text)
        assert '"layers"' not in text


def test_niches_need_a_beginning():
    with pytest.raises(InputError, match="at least 1, got 0"):
        NichedEvolution(DROP.problem, 0, initial=0)


def test_what_a_dialogue_repeats_of_an_unreadable_reply_can_be_sent():
    said = []

    def answer(messages, schema, seed):
        said.extend(message.content for message in messages)
        return "A deeper one would do. \ud83d" if len(said) < 8 else '{"candidates": [{"layer_0": "\ud83d"}]}'

    operator = Dialogue(DROP.problem, ScriptedLLM(answer), BRIEF)
    Study(DROP.problem, LLMSearch(DROP.problem, 0, operator), DROP).run(3)
    assert any("would do. ?" in text for text in said)
    for text in said:
        text.encode()


def test_what_a_mutation_is_reflected_on_can_be_sent_where_its_reply_was_unreadable():
    said = []

    def answer(messages, schema, seed):
        said.extend(message.content for message in messages)
        return "A deeper one would do. \ud83d" if "candidates" in schema["properties"] else '{"suggestion": "wider"}'

    operator = RZNASMutation(DROP.problem, ScriptedLLM(answer), BRIEF)
    Study(DROP.problem, LLMSearch(DROP.problem, 0, operator), DROP).run(16)
    assert any("would do. ?" in text for text in said)
    for text in said:
        text.encode()
