"""Write trained weights as a `qwen35` GGUF, in float32 or Q8_0.

    python -m training.export --model RUN/model.pt --tokenizer CORPUS/tokenizer.json \
        --out pointsman-mini.gguf [--type q8_0]
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import torch

from training.config import ModelConfig, Recipe, recipe
from training.model import Mini
from training.render import CHAT_TEMPLATE
from training.tokenizer import SPECIAL

__all__ = ["export", "load_model", "tensors"]

_TYPES = {"f32": gguf.GGMLQuantizationType.F32, "q8_0": gguf.GGMLQuantizationType.Q8_0}
_FILE_TYPES = {"f32": gguf.LlamaFileType.ALL_F32, "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0}
# Small and sensitive: decay and write strength of the delta rule, and the convolution.
_KEPT = ("ssm_conv1d", "ssm_alpha", "ssm_beta")


def load_model(path: Path) -> tuple[Recipe, Mini, dict[str, float]]:
    """Recipe, model on the CPU and progress (seconds, step, tokens…) of a `model.pt`."""
    saved = torch.load(path, map_location="cpu")
    made = recipe(saved["recipe"])
    model = Mini(made.model)
    model.load_state_dict({k: v.float() for k, v in saved["model"].items()})
    return made, model.eval(), saved["progress"]


def tensors(model: Mini) -> Iterator[tuple[str, np.ndarray]]:
    """GGUF names and float32 arrays (rows are outputs, as gguf wants them)."""
    for name, value in model.state_dict().items():
        yield _name(name, model.config.layers), _value(name, value)


def export(model: Mini, tokenizer: Path, out: Path, kind: str, trained: str) -> None:
    """Write the file. `trained` describes the run, for `general.description`."""
    writer = gguf.GGUFWriter(out, "qwen35")
    writer.add_name("Pointsman Mini")
    writer.add_description(trained)
    writer.add_license("apache-2.0")
    writer.add_file_type(_FILE_TYPES[kind])
    _add_shape(writer, model.config)
    _add_vocabulary(writer, tokenizer)
    for name, value in tensors(model):
        matrix = value.ndim == 2 and not any(k in name for k in _KEPT)
        chosen = _TYPES[kind] if matrix else gguf.GGMLQuantizationType.F32
        data = gguf.quants.quantize(np.ascontiguousarray(value), chosen)
        writer.add_tensor(name, data, raw_dtype=chosen)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _name(name: str, layers: int) -> str:
    """`blocks.3.mixer.attn_q.weight` -> `blk.3.attn_q.weight`, and so on."""
    parts = name.split(".")
    if parts[0] == "blocks":
        prefix, rest = f"blk.{parts[1]}.", parts[2:]
    elif parts[:2] == ["mtp", "block"]:
        prefix, rest = f"blk.{layers}.", parts[2:]
    elif parts[0] == "mtp":
        prefix, rest = f"blk.{layers}.nextn.", parts[1:]
    else:
        prefix, rest = "", parts
    rest = [p for p in rest if p != "mixer"]
    last = {"ssm_dt": "ssm_dt.bias", "a_log": "ssm_a", "ssm_conv1d": "ssm_conv1d.weight"}
    return prefix + last.get(rest[-1], ".".join(rest))


def _value(name: str, value: torch.Tensor) -> np.ndarray:
    value = value.float()
    return (-value.exp() if name.endswith("a_log") else value).numpy()


def _add_shape(writer: gguf.GGUFWriter, config: ModelConfig) -> None:
    c = config
    writer.add_block_count(c.layers + 1)
    writer.add_context_length(c.context)
    writer.add_embedding_length(c.width)
    writer.add_feed_forward_length(c.ff)
    writer.add_head_count(c.heads)
    writer.add_head_count_kv(c.kv_heads)
    writer.add_key_length(c.head_dim)
    writer.add_value_length(c.head_dim)
    writer.add_layer_norm_rms_eps(c.eps)
    writer.add_rope_dimension_count(c.rope_dim)
    writer.add_rope_dimension_sections(list(c.rope_sections()))
    writer.add_rope_freq_base(c.rope_base)
    writer.add_ssm_conv_kernel(c.conv)
    writer.add_ssm_state_size(c.ssm_state)
    writer.add_ssm_group_count(c.ssm_heads)
    writer.add_ssm_time_step_rank(c.ssm_heads)
    writer.add_ssm_inner_size(c.ssm_heads * c.ssm_state)
    writer.add_full_attention_interval(c.interval)
    writer.add_nextn_predict_layers(1)
    writer.add_vocab_size(c.vocab)


def _add_vocabulary(writer: gguf.GGUFWriter, path: Path) -> None:
    bpe = json.loads(path.read_text(encoding="utf-8"))["model"]
    tokens = [t for t, _ in sorted(bpe["vocab"].items(), key=lambda item: item[1])]
    kinds = [gguf.TokenType.CONTROL if t in SPECIAL else gguf.TokenType.NORMAL for t in tokens]
    ids = {t: i for i, t in enumerate(tokens)}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen35")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in bpe["merges"]])
    writer.add_eos_token_id(ids["<|im_end|>"])
    writer.add_pad_token_id(ids["<|endoftext|>"])
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--type", choices=sorted(_TYPES), default="q8_0")
    args = parser.parse_args(argv)
    made, model, progress = load_model(args.model)
    trained = f"recipe {made.name}, {progress['tokens'] / 1e6:.1f} M tokens"
    export(model, args.tokenizer, args.out, args.type, trained)
    print(f"{args.out}: {args.out.stat().st_size} bytes, {trained}")


if __name__ == "__main__":
    main(sys.argv[1:])
