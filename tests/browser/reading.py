"""What keeps a page that is open from being read or filled in: pale words, and fields without a label."""

from __future__ import annotations

from playwright.sync_api import Page

# WCAG 2.2, 1.4.3 (AA): 4.5, and 3 for large text. Icons are letters of a font, but no text; what is disabled is exempt.
PALE = """() => {
    const EXEMPT = "script, style, option, svg, :disabled, [aria-hidden=true], .material-symbols-outlined";
    const context = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    const known = new Map();
    const rgba = (colour) => {
        if (!known.has(colour)) {
            context.clearRect(0, 0, 1, 1);
            context.fillStyle = colour;
            context.fillRect(0, 0, 1, 1);
            const [red, green, blue, alpha] = context.getImageData(0, 0, 1, 1).data;
            known.set(colour, [red, green, blue, alpha / 255]);
        }
        return known.get(colour);
    };
    const over = (above, below) => [0, 1, 2].map(i => above[i] * above[3] + below[i] * (1 - above[3]));
    const behind = (element) => {
        const layers = [];
        for (let each = element; each; each = each.parentElement) {
            layers.push(rgba(getComputedStyle(each).backgroundColor));
            if (layers.at(-1)[3] === 1) break;
        }
        const last = layers.at(-1)[3] === 1 ? layers.pop() : [255, 255, 255, 1];
        return layers.reverse().reduce((below, above) => over(above, below), last);
    };
    const luminance = (colour) => {
        const [red, green, blue] = colour.slice(0, 3).map(part => part / 255)
            .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const contrast = (element, style) => {
        const ground = behind(element);
        const both = [over(rgba(style.color), ground), ground].map(luminance).sort((one, other) => other - one);
        return (both[0] + 0.05) / (both[1] + 0.05);
    };
    const found = new Set();
    const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (words.nextNode()) {
        const text = words.currentNode.textContent.trim();
        const element = words.currentNode.parentElement;
        if (!text || !element.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
        if (element.closest(EXEMPT)) continue;
        const style = getComputedStyle(element);
        const size = parseFloat(style.fontSize);
        const enough = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
        const measured = contrast(element, style);
        if (measured < enough) found.add(`${text.slice(0, 40)}: ${measured.toFixed(2)}`);
    }
    return [...found];
}"""
# What stands for a list that is searched, `static/admin/forms.js` names; axe looks at it.
UNNAMED = """() => {
    const told = (field) => [
        ...[...(field.labels || [])].map(label => label.textContent),
        ...(field.tagName === "BUTTON" ? [field.textContent] : []),
        ...(field.getAttribute("aria-labelledby") || "").split(" ").map(id => document.getElementById(id)?.textContent),
        ...["aria-label", "title", "placeholder"].map(name => field.getAttribute(name)),
    ].some(text => text?.trim());
    return [...document.querySelectorAll("input, select, textarea, button")]
        .filter(field => field.type !== "hidden" && field.checkVisibility({visibilityProperty: true}))
        .filter(field => !field.matches(".select2-hidden-accessible, .select2-search__field") && !told(field))
        .map(field => field.outerHTML.slice(0, 120));
}"""


def pale(page: Page) -> list[str]:
    """The words whose contrast is too low, each with its contrast."""
    found: list[str] = page.evaluate(PALE)
    return found


def unnamed(page: Page) -> list[str]:
    """The beginnings of the fields and buttons that nothing names."""
    found: list[str] = page.evaluate(UNNAMED)
    return found
