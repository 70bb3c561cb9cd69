"""The messages of an orchestrator's gRPC service and of payments, generated. Load when first used.

`livepeer_pb2` is written by `scripts/generate_proto.py` from `livepeer.proto`, which has
go-livepeer's names and field numbers (`net/lp_rpc.proto`). Nothing here is edited by hand.
"""
