"""SentencePiece's BPE models: read, and turned into the tokenizers package's machine, which gives the same ids."""

from pathlib import Path

from codetune.cli import UserError

SPACE = "▁"  # SentencePiece's mark of a space
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6  # SentencePiece's piece types
BPE = 2  # its model type


def processor(path):
    import sentencepiece

    try:
        return sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError) as error:
        raise UserError(f"{path}: not readable as a SentencePiece model: {error}") from None


def model_of(path):
    """tokenizer.model's protocol buffer: pieces (piece, score, type), trainer_spec, normalizer_spec."""
    from google.protobuf.message import DecodeError
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()
    try:
        model.ParseFromString(Path(path).read_bytes())
    except DecodeError:
        raise UserError(f"{path}: not readable as a SentencePiece model") from None
    return model


def as_tokenizer(path, added):
    """A SentencePiece BPE model as a tokenizers.Tokenizer: same pieces, merges ranked by the merged piece's score."""
    import tokenizers
    from tokenizers import decoders, models, normalizers

    model = model_of(path)
    if model.trainer_spec.model_type != BPE:
        raise UserError(f"{path}: a SentencePiece model that is not BPE; bring its tokenizer.json instead")
    vocabulary = {piece.piece: index for index, piece in enumerate(model.pieces)}
    unknown = next((piece.piece for piece in model.pieces if piece.type == UNKNOWN), None)
    merges = merges_of(model.pieces)
    backend = tokenizers.Tokenizer(
        models.BPE(vocabulary, merges, unk_token=unknown, fuse_unk=True, byte_fallback=model.trainer_spec.byte_fallback)
    )
    prefix = [normalizers.Prepend(SPACE)] if model.normalizer_spec.add_dummy_prefix else []
    backend.normalizer = normalizers.Sequence([*prefix, normalizers.Replace(" ", SPACE)])
    strip = [decoders.Strip(" ", 1, 0)] if prefix else []
    backend.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )
    special = [p.piece for p in model.pieces if p.type in (CONTROL, UNKNOWN)]
    own = [p.piece for p in model.pieces if p.type == USER_DEFINED]
    backend.add_special_tokens([tokenizers.AddedToken(token, normalized=False, special=True) for token in special])
    backend.add_tokens([tokenizers.AddedToken(token, normalized=False, special=False) for token in own])
    for token, _ in sorted(added.items(), key=lambda item: item[1]):
        backend.add_special_tokens([tokenizers.AddedToken(token, normalized=False, special=True)])
    return backend


def merges_of(pieces):
    """Every way to cut a piece into two pieces, the best score first: the order in which SentencePiece merges.

    pieces a, b, c, ab (-1), abc (-2) -> [("a", "b"), ("ab", "c")]
    """
    index = {piece.piece: i for i, piece in enumerate(pieces) if piece.type in (NORMAL, USER_DEFINED)}
    ranked = []
    for i, piece in enumerate(pieces):
        if piece.type != NORMAL:
            continue
        text = piece.piece
        for cut in range(1, len(text)):
            left, right = index.get(text[:cut]), index.get(text[cut:])
            if left is not None and right is not None:
                ranked.append((-piece.score, i, left, right, (text[:cut], text[cut:])))
    return [pair for *_, pair in sorted(ranked)]
