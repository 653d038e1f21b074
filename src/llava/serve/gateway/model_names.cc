// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/gateway/model_names.h"

#include <algorithm>
#include <array>
#include <future>
#include <string_view>
#include <utility>

#include "llava/core/error.h"

namespace llava::serve {
namespace {

constexpr std::chrono::seconds kFreshTime{5};

/// Source: LLaVA 1.2.2 `llava/serve/gradio_web_server.py`, `priority`.
std::size_t rank_of(const std::string& name) {
  constexpr std::array<std::string_view, 2> kFirst = {"vicuna-13b", "koala-13b"};
  return static_cast<std::size_t>(std::ranges::find(kFirst, name) - kFirst.begin());
}

}  // namespace

std::vector<std::string> in_page_order(std::vector<std::string> names) {
  std::ranges::sort(names, {}, [](const std::string& name) {
    return std::pair<std::size_t, std::string>(rank_of(name), name);
  });
  return names;
}

ModelNames::ModelNames(ModelListMode mode, ControllerClient& controllers)
    : mode_(mode), controllers_(controllers) {
  if (mode != ModelListMode::kOnce) return;
  std::promise<bool> promise;
  refresh([&promise](const auto& names) { promise.set_value(names.has_value()); });
  if (!promise.get_future().get()) {
    fail(ErrorCode::kUnavailable,
         "no controller answers, and --model-list-mode once wants its list of models now: start "
         "the controller first, name it with --controller-url, or use --model-list-mode reload");
  }
}

void ModelNames::list(const OnNames& on_names) {
  if (mode_ == ModelListMode::kDirect) return controllers_.list_models(on_names);
  const auto known = known_.with([](const auto& current) { return current; });
  const bool is_fresh = known && (mode_ == ModelListMode::kOnce ||
                                  std::chrono::steady_clock::now() - known->time < kFreshTime);
  if (is_fresh) return on_names(known->names);
  refresh(on_names);
}

void ModelNames::refresh(const OnNames& on_names) {
  controllers_.refresh_workers([this, on_names] {
    controllers_.list_models([this, on_names](std::optional<std::vector<std::string>> names) {
      if (!names) return on_names(std::nullopt);
      *names = in_page_order(std::move(*names));
      known_.with([&](auto& known) {
        known = Known{.names = *names, .time = std::chrono::steady_clock::now()};
      });
      on_names(std::move(names));
    });
  });
}

}  // namespace llava::serve
