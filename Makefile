# The adapter to compute on: anything that --adapter takes. Left empty, scripts/setup.sh sees to one.
ADAPTER ?=
# For `make parity`: a classifier trained on CIFAR-10, the folder that holds cifar-10-batches-bin, and a Python for
# which there are the packages of tests/parity/requirements.txt. For `make advertorch` DATA is the folder of MNIST.
MODEL ?=
DATA ?=
PYTHON ?= python3

export ADAPTER
adapter = $${ADAPTER:-$$(sh scripts/setup.sh)}
pgn_wgpu = cargo run --quiet --release --

.PHONY: help demo demo-web test web-check portability swiftshader cluster gpu-check-bundle gpu-table python bench parity tensorboard torture \
    fuzz onnx-conformance onnx-exports zoo-exports advertorch resnet-training

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-17s %s\n", $$1, $$2 }' Makefile
	@echo 'ADAPTER=cpu (or discrete, a name, ...) before any of them chooses where to compute.'

demo: ## Trains a classifier against its generator on the embedded digits, under two minutes
	cargo build --release
	@adapter=$(adapter) && if [ "$$adapter" = software ]; then \
	    echo 'demo: software Vulkan, to show the shaders; ADAPTER=cpu make demo (--adapter cpu) is faster here'; \
	fi && $(pgn_wgpu) train --adapter "$$adapter" --out runs/demo-$$(date +%Y%m%d-%H%M%S)

demo-web: ## Trains on the digits and writes the page that attacks and trains in a browser: target/demo-web/page.html
	cargo build --release
	rm -rf target/demo-web && mkdir -p target/demo-web
	@adapter=$(adapter) && $(pgn_wgpu) train --adapter "$$adapter" --out target/demo-web/pgn-digits && \
	    $(pgn_wgpu) export target/demo-web/pgn-digits --web target/demo-web/page.html

# On an adapter, and once more without one; a machine without any makes do with the second.
test: ## Format, lints, and all tests on the adapter and on the CPU path
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo clippy --lib --examples --no-default-features -- -D warnings
	@adapter=$(adapter) && if [ "$$adapter" = cpu ]; then \
	    PGN_TEST_ADAPTER=cpu cargo test; \
	else \
	    PGN_TEST_ADAPTER="$$adapter" PGN_REQUIRE_GPU=1 cargo test && \
	    PGN_TEST_ADAPTER=cpu cargo test --test '*'; \
	fi

# SCREENSHOTS=DIR leaves pictures of the page there.
web-check: ## The page of `export --web` in headless Chromium, beside the CPU path; needs Node.js and Chromium
	sh scripts/web-check.sh browser

portability: ## Every shader that browsers can run through their compiler (Dawn), beside the CPU path; needs Node.js
	sh scripts/web-check.sh dawn

swiftshader: ## The tests of kernels on the Vulkan driver of Chromium, subgroups of four; slow, needs Chromium
	sh scripts/swiftshader.sh $(TESTS)

# TESTS='convolutions products' chooses tests of `make swiftshader` by parts of their names.
TESTS ?=

cluster: ## The job files of examples/cluster on a Slurm of its own and by GNU parallel, beside one process; Debian, Ubuntu
	cargo build --release
	sh scripts/cluster.sh

gpu-check-bundle: ## Makes target/gpu-check.tar.gz, to carry to a machine with a GPU: sh gpu-check.sh there, eight minutes
	sh scripts/gpu-check.sh --prepare

gpu-table: ## The table of whole CIFAR-10 at width 1 on a GPU, as far as eight minutes go: DATA=folder of CIFAR-10's files
	cargo build --release
	DATA="$(DATA)" sh scripts/gpu-table.sh target/gpu-table

# An environment and a target folder of its own. A wheel for other machines is built where glibc is 2.28, or with --zig; this one
# is for this machine (linux).
python: ## The Python wheel in a fresh environment: builds and installs it, runs its tests and doctests
	rm -rf target/python && $(PYTHON) -m venv target/python
	target/python/bin/pip install --quiet 'maturin>=1.9,<2' pytest numpy
	CARGO_TARGET_DIR=target/wheel target/python/bin/maturin build --release --compatibility linux \
	    --manifest-path python/Cargo.toml --out target/python/wheels
	target/python/bin/pip install --quiet target/python/wheels/*.whl
	target/python/bin/pytest -q python/tests

# TORTURE='--only hostile --seed 7' passes flags on; tests/torture/README.md lists them.
TORTURE ?=

torture: ## Kills runs, damages files, feeds hostile ones; some ten minutes, needs strace on Linux
	@command -v strace >/dev/null || { test "$$(uname -s)" = Linux && test "$$(id -u)" = 0 && \
	    command -v apt-get >/dev/null && apt-get -qq -y install strace >/dev/null; } || \
	    echo 'torture: there is no strace; the part that needs it will be skipped' >&2
	cargo test --test torture -- --run $(TORTURE)

fuzz: ## Feeds every reader with made-up bytes, FUZZ_RUNS=20000 times each
	sh fuzz/run.sh

onnx-conformance: ## Runs the tests and light models of the onnx package: how many pass, are refused, and fail
	PYTHON="$(PYTHON)" sh scripts/onnx-conformance.sh

# EXPORTS='--only wrn-silu --ways dynamo-18' passes flags on; scripts/onnx_exports.py --help lists them.
EXPORTS ?=

onnx-exports: ## Networks exported from PyTorch in many ways: logits and input gradients beside PyTorch's
	cargo build --release --example input_gradients --bin pgn-wgpu
	$(PYTHON) scripts/onnx_exports.py $(EXPORTS)

# TRAINING='--parts steps --seeds 1' passes flags on; scripts/resnet_training.py --help lists them.
TRAINING ?=

resnet-training: ## A ResNet-18 trained beside PyTorch: losses step by step, then accuracy; DATA=folder of CIFAR-10's files
	@test -f "$(DATA)/test_batch.bin" || { echo 'DATA= must name the folder of the binary files of CIFAR-10'; exit 2; }
	cargo build --release
	@adapter=$(adapter) && $(PYTHON) scripts/resnet_training.py --data "$(DATA)" --adapter "$$adapter" $(TRAINING)

zoo-exports: ## Every network of the zoo, exported to PyTorch and to ONNX, beside its own answers: DATA=folder of CIFAR-10
	@test -d "$(DATA)" || { echo 'DATA= must name the folder that holds cifar-10-batches-bin'; exit 2; }
	cargo build --release
	$(PYTHON) scripts/zoo_exports.py "$(DATA)"

# ADVERTORCH='--images 200 --versions quick full --autoattack' passes flags on; scripts/advertorch.py --help lists them.
ADVERTORCH ?=

advertorch: ## Verdicts of the LeNet5 that advertorch publishes, which is fetched: DATA=folder of MNIST
	@test -n "$(DATA)" || { echo 'DATA= must name the folder of the IDX files of MNIST'; exit 2; }
	@$(MAKE) --no-print-directory .venv/advertorch
	cargo build --release
	@adapter=$(adapter) && .venv/bin/python scripts/advertorch.py --data "$(DATA)" --adapter "$$adapter" $(ADVERTORCH)

bench: ## Measures speed and memory against the targets, ten minutes on software; JSON in target/bench.json
	cargo build --release
	@adapter=$(adapter) && $(pgn_wgpu) bench --targets --adapter "$$adapter" --out target/bench.json

# PARITY='--limit 300 --attacks apgd-t square' passes flags on to the comparison with AutoAttack; scripts/parity.py --help
# lists them. SMALLEST does the same for the comparison of smallest distances, scripts/smallest_parity.py.
PARITY ?=
SMALLEST ?=

parity: ## Our attacks beside Foolbox, torchattacks, CleverHans, AutoAttack and adv-lib: MODEL=model.safetensors DATA=folder
	@test -f "$(MODEL)" || { echo 'MODEL= must name the model.safetensors of a run on CIFAR-10'; exit 2; }
	@test -f "$(DATA)/cifar-10-batches-bin/test_batch.bin" || \
	    { echo 'DATA= must name the folder that holds cifar-10-batches-bin'; exit 2; }
	@$(MAKE) --no-print-directory .venv/parity
	cargo build --release
	rm -rf target/parity && mkdir -p target/parity
	@adapter=$(adapter) && for attack in 'fgm --epsilon 0.5' 'pgd --epsilon 0.5' 'mim --epsilon 0.5' deepfool 'cw --no-abort'; do \
	    $(pgn_wgpu) attack --adapter "$$adapter" --model "$(MODEL)" --dataset cifar10 --data "$(DATA)" --limit 200 \
	        --attack $$attack --save "target/parity/$${attack%% *}.safetensors" || exit; \
	done
	.venv/bin/python tests/parity/parity.py "$(MODEL)" "$(DATA)/cifar-10-batches-bin" target/parity
	@adapter=$(adapter) && $(PYTHON) scripts/parity.py "$(MODEL)" --data "$(DATA)" --adapter "$$adapter" $(PARITY)
	@adapter=$(adapter) && $(PYTHON) scripts/smallest_parity.py "$(MODEL)" --data "$(DATA)" --adapter "$$adapter" $(SMALLEST)

tensorboard: .venv/tensorboard ## Event files of an interrupted run, read back with the real TensorBoard
	cargo build --release
	rm -rf target/tensorboard
	@adapter=$(adapter) && $(pgn_wgpu) train --adapter "$$adapter" --epochs 3 --max-steps 10 --tensorboard \
	    --out target/tensorboard && \
	    $(pgn_wgpu) train --resume target/tensorboard --max-steps 25
	.venv/bin/python tests/tensorboard/read_back.py target/tensorboard

.venv/tensorboard:
	test -x .venv/bin/pip || $(PYTHON) -m venv .venv
	.venv/bin/pip install tensorboard==2.21.0
	touch $@

.venv/advertorch:
	test -x .venv/bin/pip || $(PYTHON) -m venv .venv
	.venv/bin/pip install torch 'numpy<2' onnx pyautoattack==0.2.0
	touch $@

# CleverHans names TensorFlow packages that its PyTorch attacks do without.
.venv/parity: tests/parity/requirements.txt
	$(PYTHON) -m venv .venv
	.venv/bin/pip install -r tests/parity/requirements.txt
	.venv/bin/pip install --no-deps cleverhans==4.0.0
	touch $@
