"""Tensor names, head order and hyperparameters: Hugging Face -> GGUF."""

import gguf

from codetune.cli import UserError

ARCHITECTURES = {"llama": "llama", "gpt_bigcode": "starcoder"}  # config.json's model_type -> llama.cpp's name


def gguf_name(names, name: str) -> str:
    """ "model.layers.0.mlp.up_proj.weight" -> "blk.0.ffn_up.weight". Raises UserError for an unknown one."""
    found = names.get_name(name, try_suffixes=(".weight", ".bias"))
    if found is None:
        raise UserError(f"tensor {name} has no place in a GGUF of this architecture; the model is of another kind")
    return found


def name_map(config: dict):
    architecture = next(k for k, v in gguf.MODEL_ARCH_NAMES.items() if v == ARCHITECTURES[config["model_type"]])
    return gguf.get_tensor_name_map(architecture, layers(config))


def layers(config):
    return config["num_hidden_layers"] if config["model_type"] == "llama" else config["n_layer"]


def arranged(name: str, weight, config: dict):
    """The NumPy array in the order of rows that llama.cpp computes with; most tensors stay as they are."""
    if config["model_type"] == "llama":
        heads = config["num_attention_heads"]
        if ".q_proj." in name:
            return interleaved(weight, heads)
        if ".k_proj." in name:
            return interleaved(weight, config.get("num_key_value_heads") or heads)
    elif ".attn.c_attn." in name and not config.get("multi_query", True):
        return by_role(weight, config["n_head"])
    return weight


def interleaved(weight, heads):
    """Rotary halves (x0 x1 | y0 y1) become pairs (x0 y0 x1 y1) in each head: Meta rotates pairs."""
    inner = weight.shape[0] // heads // 2
    return weight.reshape(heads, 2, inner, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def by_role(weight, heads):
    """c_attn with a q, k, v for every head: (heads, 3, size) -> all q, all k, all v."""
    size = weight.shape[0] // heads // 3
    return weight.reshape(heads, 3, size, *weight.shape[1:]).swapaxes(0, 1).reshape(weight.shape)


def add_hyperparameters(writer, config: dict):
    """What llama.cpp must know of the network. Raises UserError for what it would compute differently."""
    if config["model_type"] == "llama":
        add_llama(writer, config)
    else:
        add_starcoder(writer, config)


def add_llama(writer, config):
    heads = config["num_attention_heads"]
    head_size = config.get("head_dim") or config["hidden_size"] // heads
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_key_length(head_size)
    writer.add_value_length(head_size)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(head_size)
    writer.add_vocab_size(config["vocab_size"])
    add_rope(writer, config)
    if config.get("hidden_act", "silu") != "silu":
        raise UserError(f"a Llama with {config['hidden_act']} instead of silu has no GGUF form")


def add_rope(writer, config):
    """rope_theta stands at the top (hub files) or in rope_parameters (transformers 5), or nowhere (Llama 2: 10,000)."""
    rope = config.get("rope_parameters") or {}
    scaling = config.get("rope_scaling") or rope
    writer.add_rope_freq_base(float(config.get("rope_theta") or rope.get("rope_theta") or 10_000))
    kind = scaling.get("rope_type") or scaling.get("type") or "default"
    if kind == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(scaling["factor"]))
    elif kind != "default":
        raise UserError(f"rope scaling of type {kind!r} is not exported to GGUF yet")


def add_starcoder(writer, config):
    writer.add_context_length(config["n_positions"])
    writer.add_embedding_length(config["n_embd"])
    writer.add_block_count(config["n_layer"])
    writer.add_feed_forward_length(config.get("n_inner") or 4 * config["n_embd"])
    writer.add_head_count(config["n_head"])
    writer.add_head_count_kv(1 if config.get("multi_query", True) else config["n_head"])
    writer.add_layer_norm_eps(config["layer_norm_epsilon"])
    writer.add_vocab_size(config["vocab_size"])
    if config.get("activation_function", "gelu_pytorch_tanh") not in ("gelu_pytorch_tanh", "gelu_new", "gelu_fast"):
        raise UserError(f"a StarCoder with {config['activation_function']} instead of the tanh gelu has no GGUF form")
