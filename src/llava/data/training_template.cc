// SPDX-License-Identifier: Apache-2.0
#include "llava/data/training_template.h"

#include <algorithm>
#include <array>
#include <string>

#include "llava/core/log.h"

namespace llava::data {
namespace {

constexpr std::string_view kDefaultTemplate = "vicuna_v1";

// The original's table; every other name is its default.
constexpr std::array<std::string_view, 15> kPublishedNames = {"default",
                                                              "v1",
                                                              "vicuna_v1",
                                                              "llama_2",
                                                              "mistral_instruct",
                                                              "chatml_direct",
                                                              "mistral_direct",
                                                              "plain",
                                                              "v0_plain",
                                                              "llava_v0",
                                                              "v0_mmtag",
                                                              "llava_v1",
                                                              "v1_mmtag",
                                                              "llava_llama_2",
                                                              "mpt"};

bool keeps_default(std::string_view version) { return version == "v0" || version == "v0.5"; }

}  // namespace

const text::ConversationTemplate& training_template(std::string_view version, Compat compat) {
  if (keeps_default(version)) return text::find_conversation_template(kDefaultTemplate);
  const bool is_published =
      std::find(kPublishedNames.begin(), kPublishedNames.end(), version) != kPublishedNames.end();
  if (compat == Compat::kReference && !is_published) {
    log_warning("unknown_version", {{"version", version}, {"template", kDefaultTemplate}});
    return text::find_conversation_template(kDefaultTemplate);
  }
  return text::find_conversation_template(version);
}

bool needs_pad_token(std::string_view version, const text::Tokenizer& tokenizer) {
  return version == "v0" && !tokenizer.pad_id();
}

int32_t training_pad_id(std::string_view version, const text::Tokenizer& tokenizer) {
  if (version != "v0") {
    const std::string unknown = tokenizer.named_token("unk_token");
    if (!unknown.empty()) {
      if (const auto id = tokenizer.id_of(unknown)) return *id;
    }
  }
  return tokenizer.pad_id().value_or(tokenizer.id_of(kAddedPadToken).value_or(0));
}

}  // namespace llava::data
