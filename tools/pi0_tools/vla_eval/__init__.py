"""Policies of pi0_server in vla-eval, Ai2's harness for vision-language-action policies."""
