// SPDX-License-Identifier: Apache-2.0
//
// The subcommands of the program: one function each, in cmd_<name>.cc.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace llava::app {

using Arguments = std::vector<std::string>;

/// One subcommand. `run` returns the exit status; errors are thrown and reported by main.
struct Command {
  const char* name;
  const char* summary;
  int (*run)(const Arguments& arguments);
};

int run_command(const Arguments& arguments);
int chat_command(const Arguments& arguments);
int batch_command(const Arguments& arguments);
int parity_command(const Arguments& arguments);
int controller_command(const Arguments& arguments);
int worker_command(const Arguments& arguments);
int api_command(const Arguments& arguments);
int gradio_web_server_command(const Arguments& arguments);
int sglang_worker_command(const Arguments& arguments);
int register_worker_command(const Arguments& arguments);
int test_message_command(const Arguments& arguments);
int serve_command(const Arguments& arguments);
int pull_command(const Arguments& arguments);
int list_command(const Arguments& arguments);
int rm_command(const Arguments& arguments);
int train_command(const Arguments& arguments);
int train_report_command(const Arguments& arguments);
int quantize_command(const Arguments& arguments);
int merge_lora_command(const Arguments& arguments);
int extract_lora_command(const Arguments& arguments);
int divergence_command(const Arguments& arguments);
int extract_projector_command(const Arguments& arguments);
int consolidate_command(const Arguments& arguments);
int make_delta_command(const Arguments& arguments);
int apply_delta_command(const Arguments& arguments);
int inspect_command(const Arguments& arguments);
int tokenize_command(const Arguments& arguments);
int image_command(const Arguments& arguments);
int bench_command(const Arguments& arguments);
int bench_serve_command(const Arguments& arguments);
int data_command(const Arguments& arguments);
int data_check_command(const Arguments& arguments);
int data_scienceqa_command(const Arguments& arguments);
int info_command(const Arguments& arguments);

/// All subcommands, in the order of the help.
std::span<const Command> commands();

}  // namespace llava::app
