"""What was found, for people: figures and one self-contained HTML page."""

from surrogate3d.report.content import Conditions, DirectPoints, Fact, Judgement, ReportContent
from surrogate3d.report.document import render, write_report
from surrogate3d.report.written import Report

__all__ = ["ReportContent", "Conditions", "Fact", "DirectPoints", "Judgement", "Report", "render", "write_report"]
