"""The messages of gRPC and of payments, generated. Load when first used: needs the extra `verify`.

`local_pb2` is written by `scripts/generate_proto.py` from `local.proto`. Nothing here is edited by
hand.
"""
