"""The console: pages for supervisors and operators over the archive and the store, made on the server.

How a page is added:

1. A function in a module of this room takes a `View` (`view.py`: the request, who asks, her words, her
   time zone) and answers `view.page("name.html", ...)`; what waits goes through `view.blocking(...)`.
2. Its `Page` stands in the table `PAGES` (`pages.py`): path, least role, and the title that makes it a part
   of the navigation. A list gives `rows=` as well: a function of the view that answers `Rows`, plain JSON
   objects with the same names each, from which `.json` and `.csv` beside the page are made (`twins.py`).
3. Its template extends `layout.html`; shared parts are macros of `parts.html`. English stands in the
   templates and the code as `_("...")`, with values by name: `_("not linked: {why}", why=why)`. The Russian
   of each stands in `ru.toml`, and a test finds what is missing or left over. A value is asked for with what
   it is a value of, `_("state: " ~ state)`, and stands in both tables.
4. An action is a plain POST form with `{{ parts.token() }}` in it, a `Page` with `method="POST"`; its
   function begins with `form = await view.form()`, which checks that token, and ends in
   `view.back(path, "What was done.")`, a text of `ru.toml` that the next page shows.
5. What changes by itself carries `data-live` and an id, and the page is given `live=SECONDS`; the script asks
   with the page's ETag and puts in what differs.

Outsiders' text needs no care in a template: every value passes `printable` and is escaped. No inline script
or style, no style attribute: the CSP allows none; sizes are attributes of SVG, or `<meter>`.
"""
