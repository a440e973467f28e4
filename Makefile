SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup build demo eval-demo vla-eval eval-delay check-trajectories eval bench-control bench-server fuzz check test test-ros faults load loom sanitize lint docs rust-test mock-test sim-test sim-smoke bench-card python-test smoke-test parity bench bench-kernels package audit clean

# ROS 2, the simulation and the checks are in an environment of the checkout; setup makes it, and is quick when it is made.
IN_ENVIRONMENT := source tools/env.sh &&
# Tests publish trajectories, and must never move a robot on the network. The last variable is Humble's for the second.
IN_ISOLATION := $(IN_ENVIRONMENT) export ROS_DOMAIN_ID=$$((1 + $$$$ % 101)) ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST && \
	if [[ "$$ROS_DISTRO" == humble ]]; then export ROS_LOCALHOST_ONLY=1; fi &&

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing, in .env/ of the checkout
	@tools/setup.sh
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust with rustup" >&2; exit 1; }

build: setup ## build the node for use
	@$(IN_ENVIRONMENT) cargo build --release --locked

# What is shown, measured and benchmarked: the aloha with pi0 or pi05, the panda with pi05, or metaworld with pi0, by vla-eval alone.
ROBOT := aloha
POLICY ?= $(if $(filter panda,$(ROBOT)),pi05,pi0)
ifeq ($(filter aloha+pi0 aloha+pi05 panda+pi05 metaworld+pi0,$(ROBOT)+$(POLICY)),)
$(error ROBOT is $(ROBOT) and POLICY is $(POLICY); they are aloha with pi0 or pi05, panda with pi05, or metaworld with pi0)
endif
SHIPPED := $(ROBOT)_sim$(if $(filter pi05,$(POLICY)),_pi05)
WITH_SHIPPED := --robot $(ROBOT) --checkpoint checkpoints/$(SHIPPED)
# Of folders: _pi05, _panda, _metaworld, or nothing.
OF_SHIPPED := $(if $(filter-out aloha,$(ROBOT)),_$(ROBOT),$(if $(filter pi05,$(POLICY)),_pi05))

# From the objects' places of seed 0 the Panda does not stack.
demo: build ## the shipped policy does each of its skills on the simulated robot, filmed, in target/demo/; POLICY=pi05 for π0.5, ROBOT=panda
	@$(IN_ENVIRONMENT) python -m pi0_tools.demo $(WITH_SHIPPED) $(if $(filter panda,$(ROBOT)),--seed 1) --output target/demo$(OF_SHIPPED)

# Episodes of each skill.
EPISODES ?= 100
EPISODES_OR_50 := $(if $(filter command line environment,$(origin EPISODES)),$(EPISODES),50)
eval-demo: build ## how often the shipped policy does each skill, as JSON; EPISODES=50 for a shorter one, POLICY=pi05 for π0.5, ROBOT=panda
	@$(IN_ENVIRONMENT) python -m pi0_tools.evaluation.success_rate $(WITH_SHIPPED) --episodes $(EPISODES) --output target/eval_demo$(OF_SHIPPED)

vla-eval: build ## the shipped policy in pi0_server, evaluated by Ai2's harness vla-eval, as JSON; EPISODES=50 by default, ROBOT=metaworld for MT10
	@$(IN_ENVIRONMENT) python -m pi0_tools.vla_eval.evaluate $(WITH_SHIPPED) --episodes $(EPISODES_OR_50) --output target/vla_eval$(OF_SHIPPED)

# Further arguments, for example DELAY="--skill right_pick --strategy rtc --latency-ms 200".
DELAY ?=
eval-delay: build ## how often the shipped policy does each skill with longer inference, by chunk_blending; EPISODES=50 by default
	@$(IN_ENVIRONMENT) python -m pi0_tools.evaluation.delay --episodes $(EPISODES_OR_50) $(DELAY)

# Minutes of a measurement.
MINUTES ?= 10
check-trajectories: build ## how many of the node's trajectories the simulated controller rejects in ten minutes; none is right
	@$(IN_ENVIRONMENT) python -m pi0_tools.evaluation.trajectory_check --minutes $(MINUTES)

# A bag of each skill, by the scripted expert.
eval: build ## how well the shipped policy predicts what an expert did in recorded bags; reports in target/eval/results/
	@$(IN_ENVIRONMENT) for skill in right_pick left_pick hand_over; do \
		python -m pi0_tools.evaluation.record_bag $$skill target/eval/bags/$$skill; done
	@target/release/pi0_eval target/eval/bags --params-file config/aloha_sim.yaml --checkpoint checkpoints/aloha_sim \
		--output target/eval/results

# Minutes for each of the two rates.
bench-control: setup ## how well 50 and 100 Hz are kept beside inference on every core, as JSON; MINUTES=1 for a shorter one
	@$(IN_ENVIRONMENT) cargo run --release --locked --no-default-features --features cli --bin pi0_bench_control -- --minutes $(MINUTES)

# Seconds for each number of clients.
SECONDS_EACH ?= 10
bench-server: setup ## what a request to the policy's server costs, and how many there are in a second, as JSON
	@$(IN_ENVIRONMENT) cargo run --release --locked --no-default-features --features cli,server --bin pi0_bench_server -- \
		--seconds $(SECONDS_EACH)

fuzz: setup ## inputs that nobody made, for what reads files and messages of others; MINUTES=60 for all targets together
	@$(IN_ENVIRONMENT) python -m pi0_tools.fuzz --minutes $(MINUTES)

check: setup ## what to run after a change: format, lints, and Rust tests without ROS 2
	@$(IN_ENVIRONMENT) cargo fmt --all --check
	@$(IN_ENVIRONMENT) ruff check .
	@$(IN_ENVIRONMENT) ruff format --check .
	@$(IN_ENVIRONMENT) python tools/docs.py check
	@$(IN_ENVIRONMENT) cargo clippy --release --locked --no-default-features --features evaluation,cli,hub,server --all-targets -- -D warnings
	@$(IN_ENVIRONMENT) cargo test --release --locked --no-default-features --features evaluation,cli,hub,server

# Tests of rust-test and python-test: the node over ROS 2 beside r2r's robot, and rclpy's clients in processes of their own.
test-ros: build ## what a robot and clients of ROS 2 meet: actions, lifecycle, parameters, and the faults of docs/operation.md
	@$(IN_ISOLATION) cargo test --release --locked --test node_ros --test node_process --test node_two_arms --test node_arm_by_pose --test node_mobile_base --test node_equals_replay
	@$(IN_ISOLATION) python -m pytest -q tests/python

# Faults at the node's inputs, ends of the node, parameters at random: about 15 minutes.
faults: build ## faults injected while the simulated robot moves, as JSON: what each did
	@$(IN_ISOLATION) mkdir -p target/faults && status=0; \
		python -m pytest -m faults tests/python/faults -o junit_family=xunit1 --junit-xml=target/faults/results.xml >&2 || status=$$?; \
		python -m pi0_tools.evaluation.fault_table target/faults/results.xml; exit $$status

# Hours under load.
HOURS ?= 1
load: build ## three cameras, 500 joint states a second, inference on every core, parameters that change, as JSON; HOURS=24
	@$(IN_ENVIRONMENT) python -m pi0_tools.evaluation.load --hours $(HOURS)

loom: setup ## the mailboxes between inference and control, in every order in which their threads can run
	@$(IN_ENVIRONMENT) RUSTFLAGS="--cfg loom" cargo test --release --locked --manifest-path loom/Cargo.toml --target-dir target/loom

# The compiler's own switch for what is not stable yet; its runtime comes with the stable compiler.
SANITIZED := ASAN_OPTIONS=handle_sigbus=0 RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address" cargo test --release --locked --no-default-features --features cli \
	--target x86_64-unknown-linux-gnu --target-dir target/sanitize
sanitize: setup ## kernels, threads and mapped files, whose code is unsafe, under AddressSanitizer
	@$(IN_ENVIRONMENT) $(SANITIZED) --lib -- device:: checkpoint::mapped_file checkpoint::tensor_files
	@$(IN_ENVIRONMENT) $(SANITIZED) --test cpu_kernels --test device_conformance

test: lint rust-test mock-test sim-smoke python-test smoke-test ## everything that CI runs

lint: setup ## format and lint checks of Rust and Python, and links of the documentation
	@$(IN_ENVIRONMENT) cargo fmt --all --check
	@$(IN_ENVIRONMENT) cargo fmt --manifest-path fuzz/Cargo.toml --check
	@$(IN_ENVIRONMENT) cargo fmt --manifest-path loom/Cargo.toml --check
	@$(IN_ENVIRONMENT) cargo clippy --release --locked --all-targets -- -D warnings
	@$(IN_ENVIRONMENT) cargo clippy --release --locked --no-default-features --features evaluation,cli,hub,server --all-targets -- -D warnings
	@$(IN_ENVIRONMENT) ruff check .
	@$(IN_ENVIRONMENT) ruff format --check .
	@$(IN_ENVIRONMENT) python tools/docs.py check

# Without ROS 2 the tests of behaviour across modules are the same, so there the library's own suffice.
rust-test: setup ## Rust tests, with ROS 2, and those of the library without
	@$(IN_ISOLATION) cargo test --release --locked
	@$(IN_ISOLATION) cargo test --release --locked --no-default-features --features evaluation,cli,hub,server --lib

# The interpreter that TT-NN is installed for is the one to link to.
mock-test: setup ## the Tenstorrent device on mock cards: TT-NN checks the whole graph
	@tools/tenstorrent/install.sh --mock
	@$(IN_ENVIRONMENT) source tools/tenstorrent/env.sh && \
		cargo clippy --release --locked --no-default-features --features tenstorrent,evaluation,cli --all-targets --workspace -- -D warnings && \
		cargo test --release --locked -p tt-metal-sys && \
		cargo test --release --locked --no-default-features --features tenstorrent,cli --lib tenstorrent && \
		for card in n150 p150; do \
			for tuning in none all; do \
				PI0_MOCK_CARD=$$card PI0_CARD_TUNING=$$tuning cargo test --release --locked --no-default-features \
					--features tenstorrent,cli --test device_conformance -- card || exit 1; \
			done; \
		done && \
		tt_example="cargo run --release --locked -p tt-metal-sys --example multiply --" && \
		$$tt_example --mock tools/tenstorrent/mock/n150.yaml target/mock-cache && \
		cargo test --release --locked --no-default-features --features tenstorrent,cli --test mock_graph

# The test program is built as mock-test builds it. Its arguments are the names of tests; none for all.
ON_SIMULATED_CARD = @tools/tenstorrent/sim/install.sh && $(IN_ENVIRONMENT) source tools/tenstorrent/env.sh && \
	conformance="$$(cargo test --release --locked --no-default-features --features tenstorrent,cli --test device_conformance \
		--no-run --message-format json | tools/tenstorrent/sim/executable.py device_conformance)" && \
	tools/tenstorrent/sim/run.sh "$$conformance"

sim-test: setup ## the Tenstorrent device on a simulated card: TT-NN's kernels compute, and their numbers are compared
	$(ON_SIMULATED_CARD)

# The package's own kernel, and one of TT-NN's that the simulator is mended for.
sim-smoke: setup ## two tests of sim-test, in a minute or two
	$(ON_SIMULATED_CARD) "images are cut into patches" "values are selected by a mask"

# Parameters of the policy that is measured, for example CARD_BENCH="--config demo --cameras 1".
CARD_BENCH ?= --config full --cameras 3 --prompt-tokens 48
bench-card: setup ## how long captured chunks take on a Tenstorrent card
	@tools/tenstorrent/install.sh
	@$(IN_ENVIRONMENT) source tools/tenstorrent/env.sh && \
		cargo run --release --locked --no-default-features --features tenstorrent,cli --bin pi0_bench -- \
			--device tenstorrent --captured $(CARD_BENCH)

python-test: build ## tests of the simulated robot, the tools, and the node through rclpy
	@$(IN_ISOLATION) python -m pytest -q

smoke-test: build ## the shipped policy picks up the cube in at least three of four episodes, and the Panda's in one of two
	@$(IN_ENVIRONMENT) python -m pi0_tools.evaluation.success_rate --skill right_pick --episodes 4 --at-least 3 --output target/smoke_test
	@$(IN_ENVIRONMENT) python -m pi0_tools.evaluation.success_rate --robot panda --skill lift --episodes 2 --at-least 1 --output target/smoke_test

parity: setup ## compare the model with the reference implementation, from nothing
	@$(IN_ENVIRONMENT) tools/parity.sh

# Rounds of the benchmark, cameras that the policy sees, threads (0: one for each core), and a checkpoint to start from.
REPEATS ?= 3
CAMERAS ?= 2
THREADS ?= 0
CHECKPOINT ?= target/parity/full/$(if $(filter pi05,$(POLICY)),pi05/)checkpoint
bench: setup ## pi0_node beside LeRobot on this machine: how many times as fast, as a table and one line of JSON
	@tools/install_lerobot.sh
	@$(IN_ENVIRONMENT) cargo build --release --locked --no-default-features --features cli --bin pi0_bench
	@if [[ ! -e "$(CHECKPOINT)" ]]; then \
		.env/lerobot/bin/python -m pi0_tools.reference.full_size --policy $(POLICY) --checkpoint-only \
			"$$(dirname "$(CHECKPOINT)")"; fi
	@$(IN_ENVIRONMENT) python -m pi0_tools.bench.side_by_side --policy $(POLICY) --checkpoint "$(CHECKPOINT)" \
		--repeats $(REPEATS) --cameras $(CAMERAS) --threads $(THREADS) $(if $(EVERY_TYPE),--every-type)

bench-kernels: setup ## every kernel of the CPU beside its instruction's peak and oneDNN, as a table and one line of JSON
	@$(IN_ENVIRONMENT) cargo build --release --locked --no-default-features --features cli --bin pi0_bench
	@$(IN_ENVIRONMENT) python -m pi0_tools.bench.kernel_speeds --threads $(THREADS)

.env/mdbook/bin/mdbook: docs/requirements.txt
	@python3 -m venv .env/mdbook
	@.env/mdbook/bin/pip install --quiet --no-deps --require-hashes -r docs/requirements.txt
	@touch $@

package: setup ## a Debian package and a tarball of the node, with SBOM and checksums, in target/package/
	@tools/package.sh

audit: ## licences, known vulnerabilities and sources of the crates that the programs are made of
	@tools/install_cargo_tool.sh cargo-deny 0.20.2
	@.env/cargo/bin/cargo-deny --locked check

docs: .env/mdbook/bin/mdbook ## the documentation as a site in target/docs/, with every link checked
	@python3 tools/docs.py check
	@python3 tools/docs.py stage target/docs_source
	@.env/mdbook/bin/mdbook build docs
	@python3 tools/docs.py check-site target/docs

clean: ## remove the builds and the environment
	rm -rf target .env .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
