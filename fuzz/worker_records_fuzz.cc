// SPDX-License-Identifier: Apache-2.0
//
// Reads the bytes as the answer of an original's worker on its way through a gateway. The first
// byte chooses the answer's form and the size of the steps.
#include <cstdint>
#include <memory>
#include <string_view>

#include "attempt.h"
#include "llava/serve/gateway/records_relay.h"

namespace {

using llava::serve::HttpResponse;
using llava::serve::OriginalRequest;

/// Takes any answer.
class Sink final : public llava::serve::HttpExchange {
 public:
  void respond(HttpResponse) override {}
  void start(HttpResponse) override {}
  void write(std::string) override {}
  void finish() override {}
  void abort() override {}
  void on_close(std::function<void(llava::serve::CloseReason)>) override {}
  bool is_closed() const override { return false; }
  std::size_t unsent_bytes() const override { return 0; }
  void post(std::function<void()> task) override { task(); }
  void post_after(std::chrono::milliseconds, std::function<void()> task) override { task(); }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  OriginalRequest request{.prompt = "Q", .stop = {"</s>", "###"}};
  request.form =
      (data[0] & 1) != 0 ? OriginalRequest::Form::kChat : OriginalRequest::Form::kCompletion;
  request.is_streamed = (data[0] & 2) != 0;
  request.includes_usage = (data[0] & 4) != 0;
  const std::size_t step = data[0] / 8 + 1u;
  llava::serve::RecordsRelay relay(request, "model", "id", std::make_shared<Sink>());
  attempt([&] {
    relay.take_head(200, {});
    for (; !bytes.empty(); bytes.remove_prefix(std::min(step, bytes.size()))) {
      relay.take(bytes.substr(0, step));
    }
    relay.finish();
  });
  return 0;
}
