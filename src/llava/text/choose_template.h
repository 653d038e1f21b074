// SPDX-License-Identifier: Apache-2.0
//
// Compatibility rules: the published programs guess the conversation template from the model's
// name. Callers log what was guessed; an explicit choice or the checkpoint's own configuration
// wins.
#pragma once

#include <string>
#include <string_view>

namespace llava::text {

/// The model name that the published programs derive from a path: its last component, with the one
/// before it in front when it begins with "checkpoint-".
/// Source: LLaVA 1.2.2 `get_model_name_from_path`.
std::string model_name_from_path(std::string_view path);

/// Template name chosen by the original's terminal chat and `run_llava`.
/// Source: LLaVA 1.2.2 `llava/serve/cli.py`, `llava/eval/run_llava.py`.
std::string template_for_program(std::string_view model_name);

/// Template name chosen by the original's web front end.
///
/// Throws: Error(kInvalidArgument) for the two names that the original maps to templates it does
/// not have ("mistral_orca", "mpt_text"). Source: LLaVA 1.2.2 `llava/serve/gradio_web_server.py`.
std::string template_for_web(std::string_view model_name);

/// Template name for models of the wider family: the later releases' web rules, and ours for those
/// they have none for (Llama 3, Qwen, Gemma, Yi-34B).
/// Source: LLaVA-NeXT `gradio_web_server.py`.
std::string template_for_family(std::string_view model_name);

}  // namespace llava::text
