# Every command a newcomer needs; `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help setup build demo test check bundle check-bundle format clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install the libraries that are missing (Debian, Ubuntu)
	@Scripts/setup

build: setup ## Build glomseg in release
	swift build -c release --product glomseg

demo: build ## Train on synthetic data, evaluate and draw predictions in out/demo
	@Scripts/demo

test: setup ## Run every test on every device
	@Scripts/test

check: build ## Lint the kernels and compare every operation on every device with its reference
	@Scripts/lint-kernels
	.build/release/glomseg check --device all

bundle: setup ## Write dist/glomseg-linux-x86_64.tar.gz, for machines without Swift
	@Scripts/bundle

check-bundle: bundle ## Unpack the bundle into an empty root and train there
	@Scripts/check-bundle

format: ## Format the Swift sources in place
	swift format --in-place --parallel --recursive Package.swift Sources Tests benchmarks/Sources

clean: ## Delete build products and out/demo
	rm -rf .build .build-test .build-bundle dist out/demo
