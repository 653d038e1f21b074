// SPDX-License-Identifier: Apache-2.0
//
// Takes each line as an entry of a run's log and as a prediction, the last object as every other
// file of its folder, and makes the page. Whatever the bytes are, no markup of theirs is in it.
#include <cstdint>
#include <string>
#include <string_view>

#include "attempt.h"
#include "llava/train_report/json_lines.h"
#include "llava/train_report/page.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  attempt([&] {
    using namespace llava::train_report;
    RunFolder run;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const BrokenLines broken = take_json_lines(text, "fuzz", [&](const llava::Json& line) {
      run.arguments = run.config = run.trainer_state = run.data_check = line;
      attempt([&] { run.log.add(line); });
      // Without pictures: they are files.
      llava::Json prediction = line;
      prediction["image"] = nullptr;
      attempt([&] { run.predictions.add(prediction); });
    });
    run.name = text;
    run.problems = {broken.text(), std::string(text)};
    const std::string page = make_page(run, {.flags = {{"learning-rate", 0.1}}, .max_samples = 5});
    for (const char* forbidden : {"<script", "<img", "nan\"", "inf\""}) {
      if (page.find(forbidden) != std::string::npos) __builtin_trap();
    }
  });
  return 0;
}
