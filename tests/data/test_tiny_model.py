"""The committed model loads, is small, and was saved the way it was trained."""

import json
from pathlib import Path

import pytest
import torch
import transformers

from data.conversations import training_conversations
from data.muon import Muon, orthogonalise
from data.tiny_llama import Shape, TinyLlama
from data.tokenizer import CHAT_TEMPLATE, END, VOCABULARY_SIZE, render, train_tokenizer
from data.train_tiny import BATCH, ROWS, WIDTHS, batches, learning_rate, save, tokenize, train

FOLDER = Path("data/tiny_model")
TEXT = "<think>\n12*30=360\nso -5 - 3 + 12\n</think>\n\nThe answer is \\boxed{(2, 5, -9)}."


@pytest.fixture(scope="module")
def tokenizer():
    return transformers.AutoTokenizer.from_pretrained(FOLDER)


def test_files_are_there_and_small() -> None:
    for name in ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json"):
        assert (FOLDER / name).is_file()
    assert (FOLDER / "tokenizer_config.json").is_file()
    assert (FOLDER / "chat_template.jinja").read_text(encoding="utf-8") == CHAT_TEMPLATE
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 8_000_000


def test_configuration(tokenizer) -> None:
    config = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
    generation = json.loads((FOLDER / "generation_config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["vocab_size"] == len(tokenizer) == VOCABULARY_SIZE
    end = tokenizer.convert_tokens_to_ids(END)
    assert config["eos_token_id"] == generation["eos_token_id"] == tokenizer.eos_token_id == end


def test_tokenizer_round_trip(tokenizer) -> None:
    ids = tokenizer.encode(TEXT, add_special_tokens=False)
    assert tokenizer.decode(ids) == TEXT
    assert tokenizer.decode([*ids, tokenizer.eos_token_id], skip_special_tokens=True) == TEXT
    assert tokenizer.decode(tokenizer.encode("naïve 数 🙂")) == "naïve 数 🙂"


def test_every_digit_is_its_own_token(tokenizer) -> None:
    digits = "0123456789"
    with_digits = [t for t in tokenizer.get_vocab() if set(t) & set(digits)]
    assert sorted(with_digits) == list(digits)


def test_chat_template_renders_what_training_saw(tokenizer) -> None:
    user = {"role": "user", "content": "What is 2 + 3?"}
    system = {"role": "system", "content": "Think."}
    for messages in ([user], [system, user]):
        text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        assert text == render(messages)
    whole = tokenizer.apply_chat_template([system, user], tokenize=False)
    assert whole == render([system, user]).removesuffix("<|im_start|>assistant\n")


def test_model_loads_and_prefers_its_own_answers(tokenizer) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32)
    assert sum(p.numel() for p in model.parameters()) < 1_000_000
    prompt = render([{"role": "user", "content": "What is 31 + 25?"}])
    losses = []
    for answer in (56, 93):
        reply = f"<think>\n31+20=51\n51+5=56\n</think>\n\nThe answer is \\boxed{{{answer}}}."
        ids = torch.tensor([tokenizer.encode(prompt + reply, add_special_tokens=False)])
        with torch.no_grad():
            losses.append(model(ids, labels=ids).loss.item())
    assert losses[0] < losses[1]


@pytest.fixture(scope="module")
def fresh():
    return train_tokenizer(render(c.messages) + c.reply for c in training_conversations(0, 300))


def test_lean_forward_equals_the_saved_llama(fresh, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = TinyLlama(Shape(vocabulary=len(fresh), layers=2))
    for parameter in model.parameters():
        # Random in every weight, zeros and ones included, and exact in bfloat16.
        parameter.data = torch.randn_like(parameter).mul(0.1).bfloat16().float()
    save(model, fresh, tmp_path / "model")
    saved = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "model", dtype=torch.float32
    )
    ids = torch.randint(0, len(fresh), (2, 17))
    model.cos, model.sin = model.cos.float(), model.sin.float()
    with torch.no_grad():
        lean = model(ids, torch.arange(ids.numel())).view(2, 17, -1)
        assert torch.allclose(lean, saved(ids).logits, atol=2e-2)
    assert not list(tmp_path.glob("tmp*"))


def test_labels_cover_the_reply_alone(fresh) -> None:
    count = 100
    data = list(batches(tokenize(fresh, 0, count), fresh.pad_token_id, seed=0))
    assert len(data) == count // BATCH
    for batch in data:
        real = batch.targets >= 0
        assert batch.ids.shape[1] % WIDTHS == len(real) % ROWS == 0
        replies = fresh.decode(batch.targets[real]).split(END)
        assert replies.pop() == ""
        assert len(replies) == BATCH
        for reply in replies:
            assert reply.startswith("<think>\n")
            assert reply.endswith("}.")
        # Each label is the token after its position.
        followed = real & ((batch.positions + 1) % batch.ids.shape[1] != 0)
        after = batch.ids.flatten()[batch.positions[followed] + 1]
        ends = batch.targets[followed] == fresh.eos_token_id
        assert torch.equal(after[~ends], batch.targets[followed][~ends])


def test_learning_rate_rises_holds_and_falls() -> None:
    shares = [learning_rate(step, 1000) for step in range(1000)]
    assert shares[0] < 0.1
    assert max(shares) == shares[200] == 1.0
    assert shares[-1] < 0.01


def test_orthogonalise_levels_the_singular_values() -> None:
    torch.manual_seed(0)
    for shape in ((3, 64, 32), (3, 32, 64)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(shape)).float())
        assert values.min() > 0.4
        assert values.max() < 1.4


def test_muon_descends() -> None:
    torch.manual_seed(0)
    target, weight = torch.randn(8, 8), torch.zeros(8, 8, requires_grad=True)
    optimizer = Muon([weight], lr=0.05)
    losses = []
    for _ in range(100):
        optimizer.zero_grad()
        loss = (weight - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_a_few_steps_lower_the_loss(fresh, capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = TinyLlama(Shape(vocabulary=len(fresh), hidden=32, layers=1, heads=2, intermediate=64))
    try:
        train(model, batches(tokenize(fresh, 0, 100 * BATCH), fresh.pad_token_id, seed=0), 100)
    finally:
        torch.set_num_threads(threads)
    losses = [float(line.split()[3]) for line in capsys.readouterr().out.splitlines()]
    assert len(losses) == 2
    assert losses[1] < losses[0]
