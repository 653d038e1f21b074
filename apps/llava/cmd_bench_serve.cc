// SPDX-License-Identifier: Apache-2.0
//
// `llava bench serve`: load on a server, and how it bears it.
#include <cstdio>

#include "command.h"
#include "command_line.h"
#include "interrupt.h"
#include "llava/core/file.h"
#include "llava/core/progress.h"
#include "llava/serve/load/load_report.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "bench serve",
    .summary = "Puts load on an OpenAI-compatible server and measures how it answers.",
    .details =
        "Closed loop: --concurrency conversations at a time. Open loop: --rate a second, whatever "
        "the\n"
        "server does; times count from when a request should have been sent.",
    .examples =
        "  llava bench serve --concurrency 16 --requests 200\n"
        "  llava bench serve --rate 5 --arrivals poisson --html report.html"};

struct Options {
  serve::LoadOptions load;
  bool json = false;
  std::string html;

  template <class V>
  void describe(V& v) {
    load.describe(v);
    v.field("json", json, "print one JSON object");
    v.field("html", html, "write a page to this file as well");
  }
};

}  // namespace

int bench_serve_command(const Arguments& arguments) {
  Options options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  std::stop_source stop;
  const InterruptGuard guard(stop);
  ProgressBar bar("conversations");
  const serve::LoadResult result =
      serve::run_load(options.load, stop.get_token(),
                      [&bar](uint64_t done, uint64_t total) { bar.update(done, total); });
  bar.clear();
  const serve::LoadReport report = serve::make_load_report(options.load, result);
  if (!options.html.empty()) {
    write_file_atomically(options.html, serve::load_report_html(options.load, report, result));
  }
  fmt::print("{}", options.json ? to_text(serve::load_report_json(report), 2) + "\n"
                                : serve::load_report_table(report));
  return 0;
}

}  // namespace llava::app
