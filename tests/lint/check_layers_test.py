# SPDX-License-Identifier: Apache-2.0
"""Each rule of scripts/check_layers.py finds its offence in a small tree, and a clean tree passes."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECKER = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "check_layers.py"
LICENCE = "// SPDX-License-Identifier: Apache-2.0\n"


class CheckLayers(unittest.TestCase):
    def findings(self, files):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                path = pathlib.Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            run = subprocess.run([sys.executable, str(CHECKER), folder], capture_output=True, text=True, check=False)
        self.assertEqual(run.returncode, 1 if run.stdout else 0, run.stderr)
        return run.stdout

    def header(self, path, body):
        return self.findings({f"src/llava/{path}": LICENCE + "#pragma once\n" + body})

    def test_allowed_includes_pass(self):
        self.assertEqual(self.header("image/a.h", '#include <vector>\n#include "llava/core/error.h"\n'), "")
        self.assertEqual(self.header("text/a.h", '#include "llava/image/layout.h"\n'), "")
        self.assertEqual(self.header("backend/torch/a.h", "#include <ATen/ops/softmax.h>\n"), "")
        self.assertEqual(self.header("llava.h", '#include "llava/engine/engine.h"\n'), "")

    def test_forbidden_folder(self):
        self.assertIn("image may include core", self.header("image/a.h", '#include "llava/text/tokenizer.h"\n'))
        self.assertIn("core may include nothing of ours", self.header("core/a.h", '#include "llava/llava.h"\n'))
        self.assertIn("a.h:3", self.header("model/a.h", '#include "llava/backend/native/native_backend.h"\n'))

    def test_only_the_layout_of_image(self):
        self.assertIn("of image only image_size.h, layout.h",
                      self.header("model/a.h", '#include "llava/image/decode.h"\n'))

    def test_libtorch(self):
        self.assertIn("LibTorch is for", self.header("model/a.h", "#include <ATen/core/Tensor.h>\n"))
        self.assertIn("name the op headers", self.header("backend/torch/a.h", "#include <torch/torch.h>\n"))

    def test_relative_include(self):
        self.assertIn("write it from the root", self.header("core/a.h", '#include "error.h"\n'))

    def test_unknown_folder(self):
        self.assertIn("no row of the layer table", self.header("misc/a.h", ""))

    def test_licence_and_guard(self):
        found = self.findings({"src/llava/core/a.h": "int a;\n"})
        self.assertIn("no licence line", found)
        self.assertIn("no '#pragma once'", found)

    def test_source_that_is_not_built(self):
        files = {"src/llava/core/a.cc": LICENCE, "src/llava/core/CMakeLists.txt": "# SPDX-License-Identifier: Apache-2.0\n# aa.cc\n"}
        self.assertIn("is named in no CMakeLists.txt", self.findings(files))
        files["src/llava/core/CMakeLists.txt"] += "llava_library(core SOURCES a.cc)\n"
        self.assertEqual(self.findings(files), "")

    def test_text_rules(self):
        marker = "TO" + "DO"
        self.assertIn("is not plain ASCII", self.findings({"README.md": "\u00e9\n"}))
        self.assertIn("without an issue number", self.findings({"README.md": f"{marker}: more\n"}))
        self.assertEqual(self.findings({"README.md": f"{marker}(#12): more\n"}), "")
        self.assertIn("path of one machine", self.findings({"README.md": "see /" + "home/someone/model\n"}))
        self.assertEqual(self.findings({"README.md": "see the folder work/models and ~/models\n"}), "")


if __name__ == "__main__":
    unittest.main()
