# Thin doors: what they do is in CMakeLists.txt, tests/run and tools/.

PORT ?= 8000

.DEFAULT_GOAL := help
.PHONY: help run test build/vargpt build/vargpt-emulated clean format deps

help:
	@echo 'make run           build, serve the demo model on port $(PORT), print a curl to try'
	@echo 'make run MODEL=DIR serve a VARGPT (or LLaVA, or LLaMA) checkpoint directory or a .gguf file instead'
	@echo 'make test          build with and without sanitizers, run every test; ends in "N passed, N failed"'
	@echo 'make build/vargpt  build the program only'
	@echo 'make build/vargpt-emulated  the same with --device cuda on an emulated card (docs/cuda.md)'
	@echo 'make format        clang-format the C sources'
	@echo 'make clean         remove what was built (models/cache and .venv stay)'

deps:
	@tools/install-deps

build/vargpt: deps
	@cmake --preset release >/dev/null
	@cmake --build --preset release --target vargpt

build/vargpt-emulated: deps
	@cmake --preset release -DVARGPT_CUDA=emulated >/dev/null
	@cmake --build --preset release --target vargpt-emulated

run: build/vargpt
	@exec build/vargpt serve $(if $(MODEL),--model '$(MODEL)') --port $(PORT)

test:
	@tools/install-deps --test
	@python3 tests/run

format:
	@git ls-files '*.c' '*.h' '*.cu' '*.cuh' '*.cpp' | xargs clang-format -i

clean:
	rm -rf build build-asan build-tsan build-debug build-emulated build-emulated-asan build-nvcc
