"""UI: the pages inside Airflow. Request -> admin or base -> page or JSON; only Airflow's API server imports it.

`app` is the application, `route` how a page is declared, `visit` what a page knows of its visitor. A page has a module,
a folder of templates, a file of texts in English and French, and perhaps a JavaScript module, all with its name.
"""
